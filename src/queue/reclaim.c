/*
 * reclaim.c
 *	  Giving back the jobs of claimers that are gone.
 *
 * A claim ends by itself when its lease does, or when the session that it is
 * bound to does.  A session gives its jobs back as it ends; what it could not
 * (the server crashed, a lock was in the way) is found by the next claim and
 * by the maintenance worker, which ask whether the process still lives.
 *
 * An attempt that ends so is charged: a job that brings its workers down is a
 * poison job and becomes a dead letter when its attempts are spent.
 *
 * Only kinds task and sql: a job with an effect may have sent something, which
 * the effect room judges.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/session.h"
#include "base/try.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "heads.h"
#include "lane/lane.h"
#include "look.h"
#include "marks.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Most jobs that a session gives back as it ends. */
#define SESSION_END_LIMIT 1000

#define LOST_SELECT WF_JOB_SELECT "WHERE j.status = 'running' "
#define IS_RECLAIMED_KIND \
	"AND (j.kind = $2 OR ($2 IS NULL AND j.kind IN ('task', 'sql'))) "

static WfPlan ended_leases_plan = {
	.name = "reclaim_ended_leases",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, TIMESTAMPTZOID},
	.sql =
	LOST_SELECT "AND j.queue = $1 AND j.lease_until >= $6 AND j.lease_until <= $3 " IS_RECLAIMED_KIND
	"AND j.job_id <> ALL ($5) AND " WF_LEASE_END " <= $3 "
	"ORDER BY j.lease_until LIMIT $4 FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan sessions_plan = {
	.name = "reclaim_sessions",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"SELECT DISTINCT j.session_pid, j.session_start FROM workflow.job AS j "
	"WHERE j.status = 'running' AND j.queue = $1 AND j.lease_until IS NULL "
	"  AND j.claimed_at >= $4 AND j.session_pid <> $3 " IS_RECLAIMED_KIND,
};

static WfPlan session_jobs_plan = {
	.name = "reclaim_session_jobs",
	.expected = SPI_OK_SELECT,
	.nargs = 5,
	.argtypes = {INT4OID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID},
	.sql =
	LOST_SELECT "AND j.session_pid = $1 AND j.session_start = $3 " IS_RECLAIMED_KIND
	"AND j.job_id <> ALL ($5) LIMIT $4 FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan still_lost_plan = {
	.name = "still_lost_job",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql =
	LOST_SELECT "AND j.job_id = $1 AND (" WF_LEASE_END " <= $2 OR j.lease_until IS NULL "
	"  AND NOT workflow._session_lives(j.session_pid, j.session_start)) "
	"FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan queues_plan = {
	.name = "reclaim_queues",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT q.queue FROM workflow.queue AS q",
};

static WfPlan first_lease_plan = {
	.name = "first_lease_end",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT j.lease_until FROM workflow.job AS j "
	"WHERE j.queue = $1 AND j.status = 'running' AND j.lease_until IS NOT NULL "
	"ORDER BY j.lease_until LIMIT 1",
};

typedef struct Session
{
	int			pid;
	TimestampTz start;
} Session;

/* Jobs that refused even to become a dead letter. */
static WfAside refused = {0};

static bool exit_hook_set = false;

typedef struct GiveBack
{
	const WfJob *job;
	const char *why;			/* or the problem */
	bool		is_done;
} GiveBack;

static void
give_back(void *argument)
{
	GiveBack   *one = argument;

	one->is_done = wf_job_give_back(one->job, one->why);
}

static void
bury_refusing(const WfJob *job, const char *problem)
{
	wf_queue_bury(job, wf_job_policy(job), "permanent",
				  psprintf("the job was lost and could not be given back: %s", problem), NULL);
}

static void
bury(void *argument)
{
	GiveBack   *one = argument;

	bury_refusing(one->job, one->why);
}

/*
 * One that refuses (a trigger of the user raises) is a dead letter that says
 * why, and one that refuses this, too, is left alone for a while: whoever gives
 * back goes on with the others.
 */
static bool
give_back_or_bury(const WfJob *job, const char *why)
{
	GiveBack	one = {job, why, false};
	ErrorData  *error = wf_try(give_back, &one);

	if (error == NULL)
		return one.is_done;
	if (wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("job " INT64_FORMAT " cannot be given back: %s", job->job_id, error->message)));
	one.why = error->message;
	error = wf_try(bury, &one);
	if (error != NULL)
		wf_aside_put(&refused, job->job_id, WF_REFUSED_US);

	return error == NULL;
}

/*
 * Gives back the jobs in the rows of a result.
 */
static void
give_back_rows(uint64 count, const char *why, WfSweep *sweep)
{
	List	   *jobs = NIL;
	ListCell   *cell;

	for (uint64 i = 0; i < count; i++)
		jobs = lappend(jobs, wf_job_from_row(i));
	foreach(cell, jobs)
	{
		const WfJob *job = lfirst(cell);

		if (job->lease_until != 0 && job->lease_until > wf_now())
			continue;			/* extended before its row was locked */
		sweep->at = job->job_id;
		if (proc_exit_inprogress ? wf_job_give_back(job, why) : give_back_or_bury(job, why))
			wf_sweep_mended(sweep, job->job_id);
		else
			sweep->put_off = true;
	}
}

static int
room_in(const WfSweep *sweep)
{
	return sweep->limit - sweep->n;
}

static void
reclaim_leases(const char *queue, const char *kind, WfSweep *sweep)
{
	Datum		values[6];
	char		nulls[] = {' ', WF_NULL_FLAG(kind), ' ', ' ', ' ', ' '};
	TimestampTz now = wf_now();
	WfRunning	running;

	give_back_rows(wf_claim_lock_ended_beats(queue, kind, room_in(sweep), wf_aside_ids(&refused)),
				   "the lease ended", sweep);
	wf_running_look(queue, 1 << WF_RUNNING_ENDS, &running);
	if (running.ends_from > now || room_in(sweep) <= 0)
		return;
	values[0] = CStringGetTextDatum(queue);
	values[1] = wf_text_datum(kind);
	values[2] = TimestampTzGetDatum(now);
	values[3] = Int64GetDatum(room_in(sweep));
	values[4] = wf_aside_ids(&refused);
	values[5] = TimestampTzGetDatum(running.ends_from);
	give_back_rows(wf_plan_execute(&ended_leases_plan, values, nulls),
				   "the lease ended", sweep);
}

static void
reclaim_session(const Session *session, const char *kind, WfSweep *sweep)
{
	Datum		values[] = {
		Int32GetDatum(session->pid), wf_text_datum(kind), TimestampTzGetDatum(session->start),
		Int64GetDatum(room_in(sweep)), wf_aside_ids(&refused)
	};
	char		nulls[] = {' ', WF_NULL_FLAG(kind), ' ', ' ', ' '};

	give_back_rows(wf_plan_execute(&session_jobs_plan, values, nulls), WF_SESSION_ENDED, sweep);
}

static bool
session_lives(const Session *session)
{
	return wf_session_lives(session->pid, session->start);
}

static List *
find_sessions(const char *queue, const char *kind)
{
	Datum		values[4];
	char		nulls[] = {' ', WF_NULL_FLAG(kind), ' ', ' '};
	List	   *sessions = NIL;
	WfRunning	running;
	uint64		count;

	wf_running_look(queue, 1 << WF_RUNNING_SESSION, &running);
	if (TIMESTAMP_IS_NOEND(running.claimed_at))
		return NIL;
	values[0] = CStringGetTextDatum(queue);
	values[1] = wf_text_datum(kind);
	values[2] = Int32GetDatum(MyProcPid);
	values[3] = TimestampTzGetDatum(running.claimed_at);
	count = wf_plan_execute(&sessions_plan, values, nulls);
	for (uint64 i = 0; i < count; i++)
	{
		Session    *session = palloc(sizeof(Session));

		session->pid = wf_result_int4(i, 1);
		session->start = DatumGetTimestampTz(wf_result_datum(i, 2, NULL));
		sessions = lappend(sessions, session);
	}

	return sessions;
}

static void
reclaim_sessions(const char *queue, const char *kind, WfSweep *sweep)
{
	ListCell   *cell;

	foreach(cell, find_sessions(queue, kind))
	{
		Session    *session = lfirst(cell);

		if (room_in(sweep) > 0 && !session_lives(session))
			reclaim_session(session, kind, sweep);
	}
}

/*
 * Whether a session is gone that has jobs of the queue and kind.
 */
bool
wf_claim_any_session_gone(const char *queue, const char *kind)
{
	ListCell   *cell;

	foreach(cell, find_sessions(queue, kind))
		if (!session_lives(lfirst(cell)))
		return true;

	return false;
}

/*
 * Gives back up to limit lost jobs of a queue, of one kind or, with NULL, of
 * all that are reclaimed: either those of ended leases or those of ended
 * sessions.  Returns how many.
 */
int
wf_claim_reclaim(const char *queue, const char *kind, int limit, bool sessions)
{
	WfSweep		sweep = {.limit = limit};

	if (sessions)
		reclaim_sessions(queue, kind, &sweep);
	else
		reclaim_leases(queue, kind, &sweep);

	return sweep.n;
}

static List *
all_queues(void)
{
	uint64		count = wf_plan_execute(&queues_plan, NULL, NULL);
	List	   *queues = NIL;

	for (uint64 i = 0; i < count; i++)
		queues = lappend(queues, wf_result_text(i, 1));

	return queues;
}

void
wf_queue_reclaim_lost(WfSweep *sweep)
{
	ListCell   *cell;

	(void) wf_lanes_move_lost(false);
	foreach(cell, all_queues())
	{
		wf_heads_mend(lfirst(cell));
		if (room_in(sweep) > 0)
			reclaim_leases(lfirst(cell), NULL, sweep);
		if (room_in(sweep) > 0)
			reclaim_sessions(lfirst(cell), NULL, sweep);
	}
}

bool
wf_queue_bury_lost(int64 job_id, const char *problem)
{
	Datum		values[] = {Int64GetDatum(job_id), TimestampTzGetDatum(wf_now())};
	WfJob	   *job;

	if (wf_plan_execute(&still_lost_plan, values, NULL) == 0)
		return false;
	job = wf_job_from_row(0);
	if (job->lease_until > wf_now())
		return false;			/* extended before its row was locked */
	bury_refusing(job, problem);

	return true;
}

void
wf_queue_leave_aside(int64 job_id, int64 delay_us)
{
	wf_aside_put(&refused, job_id, delay_us);
}

/*
 * When the first lease of a queue ends; infinity when none runs.
 */
static TimestampTz
first_lease_end(const char *queue)
{
	Datum		value = CStringGetTextDatum(queue);
	WfRunning	running;

	TimestampTz in_memory = wf_beats_next_look(queue, wf_now());

	wf_running_look(queue, 1 << WF_RUNNING_ENDS, &running);
	if (running.is_known)
		return Min(in_memory, running.ends_from);
	if (wf_plan_execute(&first_lease_plan, &value, NULL) == 0)
		return in_memory;

	return Min(in_memory, DatumGetTimestampTz(wf_result_datum(0, 1, NULL)));
}

TimestampTz
wf_queue_next_lease_end(void)
{
	TimestampTz end = wf_lane_next_end();
	ListCell   *cell;

	foreach(cell, all_queues())
		end = Min(end, first_lease_end(lfirst(cell)));

	return TIMESTAMP_IS_NOEND(end) ? 0 : end;
}

/*
 * Whether the tables can be written without waiting for anybody; nothing can
 * interrupt a process that is about to exit.
 */
static bool
lock_tables_now(void)
{
	static const char *const tables[] = {"job", "attempt", "queue", "item", "definition"};

	for (int i = 0; i < lengthof(tables); i++)
	{
		Oid			table = wf_look_relation(tables[i]);

		if (!OidIsValid(table) || !ConditionalLockRelationOid(table, RowExclusiveLock))
			return false;
	}

	return true;
}

/*
 * Gives back what this session has claimed, in a transaction of its own.  It
 * commits asynchronously, so as not to wait for a standby; should it be lost,
 * the next claim finds that the process is gone.
 */
static void
release_at_exit(int code, Datum arg)
{
	Session		me = {MyProcPid, MyStartTimestamp};
	WfSweep		sweep = {.limit = SESSION_END_LIMIT};
	WfCaller	caller;

	if (RecoveryInProgress() || !OidIsValid(MyDatabaseId))
		return;

	AbortOutOfAnyTransaction();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	wf_enter_owner(&caller);
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	if (lock_tables_now())
	{
		SPI_connect();
		(void) wf_lanes_move_lost(true);
		reclaim_session(&me, NULL, &sweep);
		SPI_finish();
	}
	wf_leave_owner(&caller);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * What it could not give back is nobody's from now on.
 */
static void
disown_at_exit(int code, Datum arg)
{
	wf_lane_disown();
}

/*
 * Makes this session give back what it has claimed when it ends.
 */
void
wf_claim_bind_session(void)
{
	if (exit_hook_set)
		return;
	before_shmem_exit(disown_at_exit, (Datum) 0);	/* after the other */
	before_shmem_exit(release_at_exit, (Datum) 0);
	exit_hook_set = true;
}
