/*
 * lane.h
 *	  The fast way through a queue: jobs that stand alone, in their first
 *	  attempt, due when they were stored.
 *
 * Such a job is a row of a segment, a table that is only ever inserted into.
 * What is not written there (who has claimed it, whether it has ended) is kept
 * in shared memory, in the order in which the jobs were stored: the lane of
 * the queue.  Two logs let it be built anew after a restart: claims, and
 * attempts.  A segment whose jobs have all ended is truncated.
 *
 * Everything unusual (a failure, a lost worker, a session's claim that is extended, a
 * prepared transaction) first makes the job a row of workflow.job, where it
 * stays.
 *
 * Callers run as the owner of the extension.
 */
#ifndef WF_LANE_LANE_H
#define WF_LANE_LANE_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#define WF_LANE_SEGMENTS 8
#define WF_LANE_SECRET 16

/* A slot: page * slots in a page + index; 0 is none. */
typedef uint32 WfSlotNo;

/* A lane: 0 is none. */
typedef uint32 WfLaneNo;

typedef struct WfLaneJob
{
	int64		job_id;
	WfSlotNo	slot;
	Jsonb	   *payload;
	TimestampTz stored_at;
} WfLaneJob;

/* Called when the library is loaded. */
extern void wf_lane_init(void);

/*
 * The lane of a queue, for the present transaction: enters the store.  0 when
 * there is no memory for it: the table has to do.
 */
extern WfLaneNo wf_lane_enter(int queue_no);

/*
 * Enters the store if it has not first to be read from the tables: no statement
 * is run.  The lane of a queue, then, or 0; known: which one it was the last
 * time, or 0.
 */
extern bool wf_lane_enter_built(void);
extern WfLaneNo wf_lane_of_built(int queue_no, WfLaneNo known);

/*
 * Draws new ids, which ascend: as nextval() does, for less.  Raises in a read-only
 * transaction.
 */
typedef enum WfIds
{
	WF_JOB_IDS,
	WF_ATTEMPT_IDS,
} WfIds;
#define WF_IDS (WF_ATTEMPT_IDS + 1)

extern void wf_ids_draw(WfIds which, int64 *ids, int count);
extern int64 wf_id_draw(WfIds which);

/*
 * Stores jobs; false when there is no memory for them, and then nothing is
 * stored.
 */
extern bool wf_lane_store(WfLaneNo lane, const int64 *job_ids, const Datum *payloads,
						  int count, TimestampTz stored_at);

/*
 * When the first job was stored that is ready, or this transaction's own;
 * infinity when none is.
 */
extern TimestampTz wf_lane_head(WfLaneNo lane);

typedef struct WfLaneAsk
{
	const char *worker;
	int			limit;
	TimestampTz before;			/* only jobs stored until then */
	TimestampTz now;
	TimestampTz lease_until;	/* 0: bound to the session */
	bool		may_be_lost;	/* with the server, should it go down at once */
} WfLaneAsk;

/* Longest name of a worker that a lane has room for, in bytes. */
#define WF_LANE_WORKER 59

/*
 * Claims jobs; returns how many, -1 when there is no memory for the claim.
 * token: of the claim, to which wf_lane_token() adds the job.
 */
extern int	wf_lane_claim(WfLaneNo lane, const WfLaneAsk *ask, WfLaneJob *jobs,
						  uint8 *secret);

extern char *wf_lane_token(const uint8 *secret, WfSlotNo slot);

/*
 * What of a token, of a lane or not, names the claim: the job may be moved, and be
 * named by others with its present place.  The table has tokens in this form.
 */
extern char *wf_lane_token_claim(const char *token);

/* Whether a token looks like one of a lane's jobs. */
extern bool wf_lane_has_token(const char *token);

/* A job that leaves a lane when the transaction commits. */
typedef struct WfLaneEnd
{
	WfLaneJob	job;			/* with its payload when it was asked for */
	int			queue_no;
	bool		is_claimed;
	TimestampTz claimed_at;
	TimestampTz lease_until;	/* 0: bound to the session */
	int			session_pid;	/* 0: it is gone */
	TimestampTz session_start;
	char		worker[WF_LANE_WORKER + 1];
	uint8		secret[WF_LANE_SECRET];
} WfLaneEnd;

/*
 * Ends a claimed job; false, and nothing is changed, when the token is not of
 * a living claim of a job in a lane.  A claim whose lease ended before "now"
 * does not live.
 */
extern bool wf_lane_end(int64 job_id, const char *token, TimestampTz now, WfLaneEnd *end);

/*
 * The present transaction has stored rows by which memory does not go, or may
 * have: lanes are built anew when it has ended.
 */
extern void wf_lane_note_restored(void);

/*
 * Moves the end of a lease, at once and without a trace on disk; with until 0
 * only says whether it could.  False when the token is not of a living claim with
 * a lease of a job in a lane, or there is no memory for it.  *like: 0 at first,
 * the same for jobs that are extended together.
 */
extern bool wf_lane_extend(int64 job_id, const char *token, TimestampTz now, TimestampTz until,
						   uint32 *like);

/*
 * Whether a job is in a lane of this database, and if so what is known of it.
 * Looks at all of them: for messages.
 */
extern bool wf_lane_find(int64 job_id, WfLaneEnd *job);

/* Lets jobs leave that are claimed by a session or lease that has ended. */
extern int	wf_lane_end_lost(TimestampTz now, bool is_own_session, int limit, WfLaneEnd *ends);

/*
 * When the next lease ends, as far as memory knows; infinity when none does, or
 * when the store is not built: who wants a job builds it.
 */
extern TimestampTz wf_lane_next_end(void);

/*
 * Gives up the claims that are bound to this session, as it ends: whoever looks
 * for lost jobs next finds them.  Neither allocates nor raises.
 */
extern void wf_lane_disown(void);

/*
 * Lets the jobs leave that are named (their ids, in ascending order) and in a
 * lane; returns how many are, at most as many as are named.  One that another
 * transaction is changing is waited for, at most deadlock_timeout.
 */
extern int	wf_lane_end_named(const int64 *job_ids, int count, WfLaneEnd *ends);

/* Lets ready jobs leave. */
extern int	wf_lane_end_ready(WfLaneNo lane, int limit, WfLaneEnd *ends);

/*
 * Truncates segments of which nothing is needed any more; returns when to look
 * again.  For the maintenance worker.
 */
extern TimestampTz wf_lane_tidy(void);

/*
 * Makes jobs that leave their lanes, with their payloads, rows of the table, whoever
 * the caller is.  Those that a transaction has stored which is about to be
 * prepared, for nobody would tell of the second phase; and those that lanes are to
 * be built with and have no memory for.
 */
extern void wf_lane_set_move_hook(void (*hook) (WfLaneEnd *ends, int count));

/*
 * Lets jobs leave that alone keep a segment from being truncated, where no
 * empty one is left to turn to.
 */
extern int	wf_lane_end_stragglers(int limit, WfLaneEnd *ends);

/*
 * Writes what of the claims is in memory only, where that was so for a moment;
 * returns when to do so again, infinity when a commit will tell.  For the
 * maintenance worker, in a transaction of its own.
 */
extern TimestampTz wf_lane_write_claims(void);

/* Reads the payloads of jobs that leave. */
extern void wf_lane_read(WfLaneEnd *ends, int count);

#endif							/* WF_LANE_LANE_H */
