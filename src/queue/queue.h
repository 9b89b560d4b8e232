/*
 * queue.h
 *	  Queues and jobs.
 *
 * Callers are connected to SPI and run as the owner of the extension.
 */
#ifndef WF_QUEUE_QUEUE_H
#define WF_QUEUE_QUEUE_H

#include "base/sweep.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct WfNewJob
{
	const char *queue;
	const char *kind;			/* task, sql, http, model, review, exception */
	const char *status;			/* NULL: ready; or waiting */
	const char *waiting_on;		/* with status waiting */
	int			priority;
	TimestampTz run_at;
	int64		item_id;		/* 0: stands alone */
	const char *state;
	int			seq;
	int64		effect_id;		/* 0: none */
	const char *key;
	const char *group_key;
	const char *tenant;			/* or NULL */
	int			units;			/* of the rate limit; 0: one */
	Jsonb	   *payload;
	bool		may_wait;		/* for room, where the queue says so */
} WfNewJob;

typedef struct WfJob
{
	int64		job_id;
	const char *queue;
	const char *kind;
	const char *status;
	int64		item_id;		/* 0: stands alone */
	const char *state;
	int			seq;
	int64		effect_id;		/* 0: none */
	int			attempt;
	const char *token;
	const char *worker;
	TimestampTz claimed_at;
	TimestampTz lease_until;	/* 0: bound to the session */
	Jsonb	   *payload;
	const char *group_key;		/* or NULL */
	int			priority;
	TimestampTz run_at;
	const char *tenant;			/* or NULL */
	int			units;			/* of the rate limit */
	int			turn;			/* of a claim of a fair queue: whose turn it
								 * was */
	bool		frees_others;	/* its end may let another job start: that of
								 * its group, or one that max_running held
								 * back */
} WfJob;

/*
 * Stores a job and wakes whoever runs its kind, at commit.  The queue must
 * exist (WF012) and have room (WF009).  With a key that a living job of the
 * queue has, returns that job's id.
 */
extern int64 wf_queue_enqueue(const WfNewJob *job);

/*
 * Claims up to limit ready jobs of a kind, in all queues that are not paused,
 * within their rate limits and max_running; bound to this session.  Returns a
 * List of WfJob *.  For workers.
 */
extern List *wf_queue_claim_kind(const char *kind, const char *worker, int limit);

/*
 * Takes back, uncharged, what the present transaction has claimed, a List of
 * WfJob *: each is ready again from its run_at on, and says what it waits for.
 */
extern void wf_queue_put_back(List *jobs, const char *waiting_on);

/* When the next ready job of the kind is due; 0 when there is none. */
extern TimestampTz wf_queue_next_due(const char *kind);

/* Locks a claimed job; raises WF004 (stale token) or WF012. */
extern WfJob *wf_queue_lock_claimed(int64 job_id, const char *token);

/* Locks a job whoever holds it; NULL when it is gone. */
extern WfJob *wf_queue_lock(int64 job_id);

/* The same without waiting: NULL also when somebody else has it locked. */
extern WfJob *wf_queue_try_lock(int64 job_id);
extern bool wf_queue_exists(int64 job_id);

/*
 * Completes a job that is still in a lane; false, with nothing changed, when
 * the token is not of a living claim of such a job: it may be one of a job in
 * the table.
 */
extern bool wf_queue_complete_in_lane(int64 job_id, const char *token, Jsonb *detail);

/*
 * The same without running a statement: for callers that are nobody special and
 * not connected to SPI.  False says nothing.
 */
extern bool wf_queue_complete_at_once(int64 job_id, const char *token, Jsonb *detail);
extern void wf_queue_complete_many_in_lanes(const Datum *job_ids, const Datum *tokens,
											int count, bool *done);

/*
 * The job succeeded: records the attempt, deletes the job.  Here and below,
 * the attempts of a job with an effect are the sends of the effect, which the
 * effect room records.
 */
extern void wf_queue_finish(const WfJob *job, Jsonb *detail);

/*
 * A job that has been charged with its units turns out to have taken others:
 * the rate limit of its queue is charged, or given back, the difference.
 */
extern void wf_queue_settle_units(const WfJob *job, int units);

typedef enum WfFailure
{
	WF_FAILURE_RETRY,			/* the job is ready again, later */
	WF_FAILURE_DEAD,			/* the job is a dead letter now */
} WfFailure;

/*
 * The job failed: records the attempt; the policy object (NULL: the queue's
 * own) decides.  retry_after_us: -1 when nobody asked for a delay.
 */
extern WfFailure wf_queue_fail(const WfJob *job, Jsonb *policy,
							   const char *error_class, const char *message,
							   int64 retry_after_us, Jsonb *detail);

/* The job waits, uncharged, for something named (effect, blocked, ...). */
extern void wf_queue_park(const WfJob *job, const char *waiting_on,
						  const char *error_class, const char *message);

/* The same, for who looks at it again at a time. */
extern void wf_queue_park_until(const WfJob *job, const char *waiting_on,
								TimestampTz until, const char *error_class,
								const char *message);

/* A waiting or dead job is ready again at a time. */
extern void wf_queue_unpark(int64 job_id, TimestampTz run_at, bool reset_attempts);

/*
 * Gives back a claimed job that has not begun: no attempt, no charge.
 * waiting_on: why not before that time, or NULL.
 */
extern void wf_queue_release(const WfJob *job, TimestampTz run_at, const char *waiting_on);

/* Deletes a job without an attempt (its item moved on). */
extern void wf_queue_drop(int64 job_id);

/*
 * Ends claimed jobs without items whose effects have succeeded, with one
 * statement.  An effect that has succeeded stays so, and no job begins to wait
 * for it.  Where another job is to be told, too, or somebody else holds the
 * job, nothing is changed and are_ended[i] is false.
 */
extern void wf_queue_end_calls(const WfJob **jobs, bool *are_ended, int n);

/*
 * Gives back the jobs whose lease has ended or whose session is gone, each
 * charged as an attempt 'lost'.  Only kinds task and sql: a lost job with an
 * effect is the effect's to judge.  The sweep is put off when somebody holds the
 * item of one.  One that raises is a dead letter.
 */
extern void wf_queue_reclaim_lost(WfSweep *sweep);

/*
 * For one that raises at the commit only: makes a dead letter of it, if it is
 * still lost; or leaves it alone for a while.
 */
extern bool wf_queue_bury_lost(int64 job_id, const char *problem);
extern void wf_queue_leave_aside(int64 job_id, int64 delay_us);

/* Dead letters that are older than their queue keeps them. */
extern uint64 wf_queue_expire(int most);
extern TimestampTz wf_queue_next_expiry(void);
extern int	wf_queue_shortest_retention_s(void);

/* A process that died while it ran a job in the transaction of its claim. */
typedef struct WfDeath
{
	int64		job_id;
	int			attempt;		/* the one that died with it */
	const char *worker;
	TimestampTz began_at;
	bool		has_timed_out;	/* because the job would not end otherwise */
} WfDeath;

/*
 * Charges the attempt that a death cost, once, and lets the job wait for as
 * long as its policy says; with its last one, or where the policy retries no
 * timeout and it was one, the job is spent.  Returns false when somebody holds
 * the job or its item: look again.
 */
extern bool wf_queue_charge_death(const WfDeath *death);

/* The same for a job that the present transaction has just claimed. */
extern void wf_queue_charge_claimed(const WfJob *job, const WfDeath *death);

/*
 * What the item room knows about the jobs of items; it sets this when the
 * library is loaded.  Called with the job locked.
 */
typedef struct WfItemHooks
{
	/* The retry policy object of the job's state, or NULL. */
	Jsonb	   *(*job_policy) (const WfJob *job);

	/* Whether the item, or its workflow, is paused. */
	bool		(*is_paused) (int64 item_id);

	/* The job's workers died too often: raise "error", or bury the job. */
	void		(*job_spent) (const WfJob *job, const char *error_class,
							  const char *message);
} WfItemHooks;

extern void wf_queue_set_item_hooks(const WfItemHooks *hooks);

/*
 * Makes a dead letter of a job whatever its policy says, with the attempt it
 * was in, if it was running.
 */
extern void wf_queue_bury(const WfJob *job, Jsonb *policy,
						  const char *error_class, const char *message,
						  Jsonb *detail);

/* When the next lease ends; 0 when none is running on time. */
extern TimestampTz wf_queue_next_lease_end(void);

/*
 * Writes the rows of claims that were left for later; returns when to do so again,
 * 0 when a commit will tell.
 */
extern TimestampTz wf_queue_write_claims(void);

/*
 * Gives back the space of jobs that have ended; returns when to look again, 0
 * when only new work gives a reason.
 */
extern TimestampTz wf_queue_tidy(void);

/* Raises 22023 where there is no such error class. */
extern void wf_queue_require_class(const char *error_class);

/* Records an attempt that is not a job's own, for example of a sql batch. */
typedef struct WfAttempt
{
	int64		job_id;
	int64		effect_id;
	int64		item_id;
	const char *queue;
	const char *kind;
	int			attempt;
	const char *worker;
	TimestampTz started_at;
	const char *outcome;
	const char *error_class;
	const char *message;
	Jsonb	   *detail;
} WfAttempt;

extern void wf_queue_record_attempt(const WfAttempt *attempt);

/* The policy object of a job: that of its state, else of its queue; NULL: the default one. */
extern Jsonb *wf_job_policy(const WfJob *job);

/* Called when the library is loaded. */
extern void wf_queue_init(void);

#endif							/* WF_QUEUE_QUEUE_H */
