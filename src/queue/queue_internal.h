/*
 * queue_internal.h
 *	  What the files of the queue room share.
 */
#ifndef WF_QUEUE_INTERNAL_H
#define WF_QUEUE_INTERNAL_H

#include "base/compat.h"
#include "base/plan.h"
#include "base/wake.h"
#include "executor/tuptable.h"
#include "lane/figure.h"
#include "queue/queue.h"
#include "utils/relcache.h"

/* Columns of a job aliased j, in the order that wf_job_from_row() reads. */
#define WF_JOB_COLUMNS \
	"j.job_id, j.queue, j.kind, j.status, j.item_id, j.state, j.seq, " \
	"j.effect_id, j.attempt, j.token, j.worker, j.claimed_at, j.lease_until, " \
	"j.payload, j.group_key, j.priority, j.run_at, j.tenant, j.units"
#define WF_JOB_NCOLUMNS 19

/*
 * How much less urgent a job of that priority and due time counts in queue q,
 * because others have waited for longer.
 */
#define WF_AGED(priority, run_at) \
	"CASE WHEN q.aging IS NULL THEN 0 ELSE " \
	"workflow._aged(" priority ", " run_at ", q.aging) END"

/* The tenant of a job in queue q. */
#define WF_TENANT(tenant) "CASE WHEN q.fair THEN COALESCE(" tenant ", '') ELSE " tenant " END"

/* How the message of an attempt begins that ended with its claimer's session. */
#define WF_SESSION_ENDED "the session ended"

/* Reads what wf_job_from_row() wants; its rows are locked with FOR UPDATE OF j. */
#define WF_JOB_SELECT \
	"SELECT " WF_JOB_COLUMNS ", " \
	"  (j.group_key IS NOT NULL OR q.max_running IS NOT NULL) AS frees_others " \
	"FROM workflow.job AS j LEFT JOIN workflow.queue AS q ON q.queue = j.queue "

/*
 * Whether a job of its group stands before j: one that runs, or was stored
 * before.  Each is a look at an index of its own, however long the group is.
 * "from": the parameter with wf_grouped_from().  The expressions of status keep
 * the looks from indexes that have all groups of the queue in one line.
 */
#define WF_GROUP_IS_BUSY(from) \
	"(EXISTS (SELECT 1 FROM workflow.job AS o " \
	"    WHERE o.queue = j.queue AND o.group_key = j.group_key AND o.job_id <> j.job_id " \
	"      AND o.job_id >= " from " AND o.status || '' = 'running') " \
	"  OR EXISTS (SELECT 1 FROM workflow.job AS o " \
	"    WHERE o.queue = j.queue AND o.group_key = j.group_key AND o.job_id < j.job_id " \
	"      AND o.job_id >= " from " AND o.status || '' <> 'dead'))"

/* Marks the jobs of "picked" as claimed; see wf_claim_mark() for the arguments. */
#define WF_MARK_NARGS 10
#define WF_MARK_TYPES \
	TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, \
	INT4OID, TIMESTAMPTZOID, BOOLOID
#define WF_MARK_PICKED \
	"UPDATE workflow.job AS j SET " \
	"  status = 'running', attempt = j.attempt + 1, worker = $5, " \
	"  token = $6 || '.' || j.job_id::text, claimed_at = $3, lease_until = $7, " \
	"  session_pid = $8, session_start = $9 " \
	"WHERE j.job_id = ANY (ARRAY(SELECT p.job_id FROM picked AS p)) " \
	"RETURNING " WF_JOB_COLUMNS ", (j.group_key IS NOT NULL OR $10) AS frees_others"

/* When the lease of a claimed job j ends, which its heartbeats have moved. */
#define WF_LEASE_END "workflow._lease_end(j.job_id, j.token, j.lease_until)"

/* Whether the end of a deleted job j may let another one start. */
#define WF_FREES_OTHERS \
	"(j.group_key IS NOT NULL OR EXISTS (SELECT 1 FROM workflow.queue AS q " \
	"  WHERE q.queue = j.queue AND q.max_running IS NOT NULL))"
/* What a session knows of a queue. */
#define WF_FACTS_NAME 256
typedef struct WfQueueFacts
{
	char		queue[WF_FACTS_NAME];	/* key */
	bool		is_known;
	int			queue_no;
	bool		is_paused;
	bool		is_limited;		/* by rate, max_running or max_length, or in
								 * another order: it has no lane */
	int64		lease_us;		/* of claims that name none; 0: none */
	bool		runs_once;		/* a lost attempt was the last: that it has
								 * begun must not be forgotten */
	bool		has_subscribers;
	int64		key_window_us;	/* 0: keys are free when their jobs end */
	uint64		table_count;	/* wf_wake_count() of when the table was
								 * looked into */
	TimestampTz table_due;		/* until then there is nothing in it to claim */
	uint32		lane;			/* WfLaneNo, where it was last; 0: not asked */
} WfQueueFacts;

#define WF_READY_PRIORITIES 128

typedef struct WfReadyFirst
{
	int			priority;
	TimestampTz run_at;
} WfReadyFirst;

/*
 * For each priority no ready job of which this transaction might want stands
 * before run_at.
 */
typedef struct WfReady
{
	bool		is_known;		/* else they have to be looked for */
	int64		least;			/* where they have to: from this priority on;
								 * WF_MARK_NONE: nothing is ready */
	bool		has_groups;		/* perhaps */
	int			n;
	WfReadyFirst firsts[WF_READY_PRIORITIES];	/* by priority */
} WfReady;

/* A range of the index job_ready, both ends included. */
typedef struct WfReadySpan
{
	int			from_priority;
	TimestampTz from;
	int			until_priority;
	TimestampTz until;
} WfReadySpan;

/* What a claim wants, and what it has to know for the next one. */
typedef struct WfClaim
{
	const char *kind;
	const char *queue;
	const char *worker;
	int			limit;
	int64		lease_us;		/* 0: bound to the session */
	TimestampTz now;
	bool		is_lease_asked; /* else the queue's own lease holds */
	bool		runs_once;		/* see WfQueueFacts */

	/* filled by the look at the queue */
	bool		is_paused;
	bool		has_lost;		/* leases that have ended */
	WfReady		ready;			/* when the claim last took */
	bool		has_groups;		/* perhaps; the same */
	int64		grouped_from;	/* wf_grouped_mark(), where there are groups */
	bool		is_rate_limited;
	bool		is_limited;		/* the queue's row is locked until we commit */
	bool		stands_in_line; /* while it picks */
	bool		makes_room;		/* that somebody may wait for */
	bool		is_tenant_rated;	/* the rate is of each tenant by itself,
									 * and the claim not is_rate_limited */
	bool		is_fair;		/* tenants take turns */
	const char *fair_last;		/* whose turn was the last */
	int			max_running;	/* 0: no limit */
	double		rate_interval_us;	/* time that one unit takes of the rate */
	double		rate_burst_us;	/* how far ahead of time the rate may be */
	TimestampTz rate_next_at;	/* as it was last read */

	/* only jobs until there, in the order of claims; 0: all */
	int			until_priority;
	TimestampTz until_run_at;

	bool		has_changed;	/* lost jobs were given back */
	bool		is_waiting;		/* for the lock of a limited queue */

	/* filled when there was less to take than wanted */
	bool		is_contended;	/* somebody else is claiming: look again soon */
	bool		is_lost_held;	/* so with a job whose lease has ended */
	bool		is_full;		/* max_running */
	bool		has_lane;		/* which was looked into */
	bool		is_cramped;		/* its lane has no memory for another claim */
	TimestampTz table_rests_until;	/* the table was not: nothing is there to
									 * claim until then; 0: it was */
	TimestampTz rate_opens_at;	/* 0: the rate does not hold anything back */
} WfClaim;

/* job.c */
extern WfJob *wf_job_from_row(uint64 row);
extern WfWakeTopic wf_job_topic(const char *kind);
pg_noreturn extern void wf_job_refuse_queue(const char *queue);

/* append_job.c */
extern int64 wf_job_append(const WfNewJob *job);

/* follow.c */
extern void wf_job_follow_stored(Relation table, TupleTableSlot *slot);

/* attempt_log.c */
extern bool wf_attempt_append(const WfAttempt *attempt);
typedef struct WfLaneAttempt
{
	const char *queue;
	const char *worker;
	TimestampTz started_at;
	TimestampTz finished_at;
	struct ArrayType *job_ids;	/* NULL: last_job alone */
	int64		last_job;
	Jsonb	   *detail;
} WfLaneAttempt;

extern void wf_attempt_log(const WfLaneAttempt *attempt);

/* facts.c */
extern WfQueueFacts *wf_queue_facts(const char *queue);
extern WfQueueFacts *wf_queue_facts_known(const char *queue);
extern char *wf_queue_name(int queue_no);
extern void wf_queue_require_still(const char *queue, int queue_no);
extern bool wf_queue_takes_letters(const char *queue);

/* spent.c */
extern void wf_enqueue_require_queue(bool is_null, const char *function);
extern void wf_enqueue_require_payload(bool is_null, const char *function, const char *argument);
extern void wf_enqueue_require_units(int units);
extern int64 wf_enqueue_with_copies(const WfNewJob *job);
extern int64 wf_spent_find(const char *queue, const char *key);
extern bool wf_spent_judge(int64 *job_id, const char *queue, const char *key);
extern bool wf_spent_keeps(const char *queue);
extern TimestampTz wf_spent_sweep(void);

/* subscribe.c */
extern bool wf_queue_may_have_subscribers(const char *queue);
extern List *wf_queue_subscribers(const char *queue);

/* room.c */
extern void wf_queue_require_room(const char *queue, int added, bool may_wait);

/* lanes_leave.c */
struct WfLaneEnd;
extern int	wf_lanes_move_stragglers(void);
extern void wf_lanes_move_ready(uint32 lane, int limit);
extern void wf_lanes_move_named(const int64 *job_ids, int count);
extern void wf_lanes_move_read(struct WfLaneEnd *ends, int count);

/* lanes.c */
extern bool wf_lanes_store(const char *queue, const Datum *payloads, int count, Datum *job_ids);
extern bool wf_lanes_store_at_once(const char *queue, const Datum *payloads, int count,
								   Datum *job_ids);
extern bool wf_lanes_have_work(WfClaim *claim);
extern List *wf_lanes_look(WfClaim *claim, bool *is_done);
extern List *wf_lanes_look_at_once(WfClaim *claim, bool *is_done);
extern bool wf_lanes_move_claimed(int64 job_id, const char *token);
extern int	wf_lanes_move_lost(bool is_own_session);
extern void wf_lanes_init(void);

/* drop.c */
extern void wf_queue_drop_init(void);

/* pace.c */
struct WfLaneJob;
extern void wf_pace_stored(const char *queue, int64 count);
extern void wf_pace_started(const char *queue, TimestampTz claimed_at,
							const struct WfLaneJob *jobs, int count);
extern void wf_pace_put_back(const WfJob *job);
extern void wf_pace_ended(const char *queue, WfFigure event, TimestampTz claimed_at, TimestampTz now,
						  int64 count);

/* limits.c */
extern void wf_claim_read_limits(WfClaim *claim, uint64 row, int column);
extern bool wf_claim_lock_limits(WfClaim *claim);
extern void wf_claim_read_rate(WfClaim *claim);
extern bool wf_claim_rate_is_closed(WfClaim *claim);
extern int	wf_claim_allowed(WfClaim *claim, int wanted);
extern List *wf_claim_use_rate(WfClaim *claim, List *jobs);
extern List *wf_claim_use_tenant_rates(WfClaim *claim, List *jobs);
extern bool wf_claim_units_fit(WfClaim *claim, int units);
extern int	wf_claim_head_units(const WfClaim *claim);
extern bool wf_claim_tenant_is_open(WfClaim *claim, const char *tenant, int units);
#define WF_LIMIT_COLUMNS \
	"q.rate_count, q.rate_per, q.max_running, q.on_full = 'block', " \
	"q.fair, q.fair_last, q.rate_per_tenant"

/* fair.c */
extern List *wf_claim_mark_fair(WfClaim *claim, int limit);
extern int	wf_claim_next_turn(WfClaim *claim);
extern void wf_claim_note_turn(const WfClaim *claim, List *jobs);

/* turns.c */
extern bool wf_turns_are_kept(void);
extern void wf_line_begin(WfClaim *claim);
extern void wf_line_end(const WfClaim *claim);
extern void wf_turns_read(WfClaim *claim);
extern bool wf_turns_note(const WfClaim *claim, const char *tenant);

/* ready.c */
extern void wf_ready_look(const char *queue, const char *kind, WfReady *ready);
extern bool wf_ready_is_none(const WfReady *ready, TimestampTz now);
extern bool wf_ready_has_groups(const WfReady *ready, const char *queue);
extern bool wf_ready_first(const WfReady *ready, TimestampTz now, WfReadyFirst *first);
extern int	wf_ready_spans(const WfReady *ready, TimestampTz now, WfReadySpan *spans);
extern TimestampTz wf_ready_after(const char *queue, const char *kind, int priority,
								  TimestampTz time);
extern TimestampTz wf_ready_next_due(const WfReady *ready, const char *queue, const char *kind,
									 TimestampTz after);

/* running.c */

/* Where the running jobs of a queue begin. */
typedef struct WfRunning
{
	bool		is_known;		/* else the two are the least there is */
	TimestampTz lease_until;	/* infinity: no lease runs */
	TimestampTz claimed_at;		/* of those bound to sessions; infinity: none */
	TimestampTz ends_from;		/* as lease_until, of leases whose ends are
								 * not in memory (beats.h) */
} WfRunning;

/* wanted: WF_RUNNING_xxx, as bits; the others may be less. */
extern void wf_running_look(const char *queue, uint32 wanted, WfRunning *running);
extern int64 wf_grouped_from(const char *queue);
extern int64 wf_grouped_mark(const char *queue);

/* pick.c */
extern List *wf_claim_pick(WfClaim *claim, int limit);
extern List *wf_claim_mark(WfPlan *plan, const WfClaim *claim, int limit, const Datum *more);

/* take.c */
extern List *wf_claim_take(WfClaim *claim);
extern void wf_claim_sort(List *jobs);
extern List *wf_claim_put_back(List *jobs, List *losers);
extern List *wf_claim_without_losers(WfClaim *claim, List *jobs);
extern void wf_claim_note_taken(WfWakeTopic topic);
extern void wf_claim_init(void);
extern void wf_turns_init(void);

/* refuse.c */

extern List *wf_claim_pick_willing(WfClaim *claim, int limit);
extern Datum wf_claim_refused(void);
extern bool wf_claim_has_refused(void);
extern bool wf_claim_may_be_refused(void);

/* claim.c */

/* How soon to look again for jobs whose rows somebody has locked. */
#define WF_HELD_US	(INT64CONST(500) * 1000)
extern bool wf_claim_is_held(const WfClaim *claim);
extern List *wf_claim_look(WfClaim *claim);
extern List *wf_claim_look_into_table(WfClaim *claim);
extern TimestampTz wf_claim_next_due(const WfClaim *claim);
extern TimestampTz wf_claim_next_look(const WfClaim *claim, TimestampTz deadline);
extern void wf_claim_sleep(TimestampTz until);

/* reclaim.c */

/* Most lost jobs that one claim gives back. */
#define RECLAIM_LIMIT 100
extern int	wf_claim_reclaim(const char *queue, const char *kind, int limit,
							 bool sessions);
extern bool wf_claim_any_session_gone(const char *queue, const char *kind);

/* beat_ends.c */
extern uint64 wf_claim_lock_ended_beats(const char *queue, const char *kind, int limit,
										Datum aside);
extern bool wf_claim_any_beat_ended(const char *queue, const char *kind);
extern void wf_claim_bind_session(void);

/* lost.c */
extern bool wf_job_give_back(const WfJob *job, const char *why);

/* hooks.c */
extern bool wf_job_is_paused(int64 item_id);
extern bool wf_job_tell_spent(const WfJob *job, const char *error_class,
							  const char *message);

/* finish.c */
extern void wf_job_lost(const WfJob *job, const char *error_class, const char *message,
						int64 delay_us);
extern void wf_job_release(const WfJob *job);
extern void wf_job_cancel(const WfJob *job, const char *reason);
extern Jsonb *wf_job_queue_policy(const char *queue);

/* claim.c: a column, by its number in workflow.claimed_job, of which there are so many */
#define WF_CLAIMED_COLUMNS 8
extern PGDLLEXPORT Datum wf_claim(PG_FUNCTION_ARGS);
extern Datum wf_claimed_column(const WfJob *job, int column, bool *isnull);

/* scan.c: a scan is what wf_claim() gets as resultinfo from it */
struct Node;
extern void wf_scan_take(struct Node *scan, List *jobs);
extern void wf_scan_init(void);

#endif							/* WF_QUEUE_INTERNAL_H */
