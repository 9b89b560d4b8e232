/*
 * take.c
 *	  Taking ready jobs of one queue and kind.
 *
 * Of a group only its first job may run, and only when none of it runs.  A
 * snapshot alone cannot tell: another claim may just be taking a job of the
 * group that it does not see.  So the jobs of groups are marked first and then
 * judged once more, under a lock of the group and with a new snapshot; those
 * that lose are put back.
 *
 * Where that, or the limits of a queue, may leave locks behind although
 * nothing was taken, the whole is a subtransaction that is rolled back then.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/end.h"
#include "base/rows.h"
#include "base/turn.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

static WfPlan judge_plan = {
	.name = "claim_judge_groups",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8OID},
	.sql =
	"SELECT j.job_id FROM workflow.job AS j "
	"WHERE j.job_id = ANY ($1) AND " WF_GROUP_IS_BUSY("$2"),
};

static WfPlan put_back_plan = {
	.name = "claim_put_back",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID},
	.sql =
	"UPDATE workflow.job AS j SET status = 'ready', attempt = j.attempt - 1, worker = NULL, "
	"  token = NULL, claimed_at = NULL, lease_until = NULL, "
	"  session_pid = NULL, session_start = NULL, run_at = s.run_at, "
	"  waiting_on = coalesce(s.waiting_on, j.waiting_on) "
	"FROM unnest($1::int8[], $2::timestamptz[], $3::text[]) AS s (job_id, run_at, waiting_on) "
	"WHERE j.job_id = s.job_id",
};

/* Topics, as bits, of the jobs that the present transaction has claimed. */
static uint32 claimed_topics = 0;
static bool undoing_own_look = false;
static WfEnd own_end = 0;

/*
 * Jobs whose claim is rolled back are ready again, though nobody commits:
 * whoever skipped them while they were locked must look once more.  Called at
 * the end of (sub)transactions: neither allocates nor raises.
 */
static void
wake_claimers(void)
{
	for (int topic = WF_WAKE_TASK; topic <= WF_WAKE_HTTP; topic++)
		if (claimed_topics & (1 << topic))
			wf_wake_now(topic, NULL);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		wake_claimers();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
		event == XACT_EVENT_PREPARE)
	{
		claimed_topics = 0;
		undoing_own_look = false;
	}
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mySubid,
					  SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && !undoing_own_look)
		wake_claimers();
}

/*
 * Called when the library is loaded.
 */
void
wf_claim_init(void)
{
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}

/*
 * The present transaction has claimed jobs of a topic.
 */
void
wf_claim_note_taken(WfWakeTopic topic)
{
	wf_wake_prepare();
	claimed_topics |= 1 << topic;
	wf_end_is_due(own_end);
}

static int
in_order(const ListCell *a, const ListCell *b)
{
	const WfJob *left = lfirst(a);
	const WfJob *right = lfirst(b);

	if (left->turn != right->turn)
		return left->turn < right->turn ? -1 : 1;
	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	if (left->run_at != right->run_at)
		return left->run_at < right->run_at ? -1 : 1;

	return left->job_id < right->job_id ? -1 : 1;
}

void
wf_claim_sort(List *jobs)
{
	list_sort(jobs, in_order);
}

/*
 * Locks a group until the end of the transaction, unless somebody else has.
 */
static bool
try_lock_group(const WfJob *job)
{
	uint32		queue = hash_bytes((const unsigned char *) job->queue, strlen(job->queue));
	uint32		group = hash_bytes((const unsigned char *) job->group_key,
								   strlen(job->group_key));

	return wf_try_turn(WF_TURN_GROUP, queue, group);
}

static Datum
job_ids(List *jobs)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(list_length(jobs), 1));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, jobs)
		ids[count++] = Int64GetDatum(((WfJob *) lfirst(cell))->job_id);

	return PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static bool
contains_job(List *jobs, int64 job_id)
{
	ListCell   *cell;

	foreach(cell, jobs)
		if (((WfJob *) lfirst(cell))->job_id == job_id)
		return true;

	return false;
}

/*
 * Returns those marked jobs whose group turns out to be busy.
 */
static List *
find_losers(WfClaim *claim, List *jobs)
{
	List	   *losers = NIL;
	List	   *locked = NIL;
	ListCell   *cell;
	Datum		values[2];
	uint64		count;

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (job->group_key == NULL)
			continue;
		if (try_lock_group(job))
			locked = lappend(locked, job);
		else
			losers = lappend(losers, job);
	}
	if (losers != NIL)
		claim->is_contended = true;
	if (locked == NIL)
		return losers;

	values[0] = job_ids(locked);
	values[1] = Int64GetDatum(wf_grouped_from(claim->queue));
	count = wf_plan_execute(&judge_plan, values, NULL);
	foreach(cell, locked)
	{
		WfJob	   *job = lfirst(cell);

		for (uint64 i = 0; i < count; i++)
			if (wf_result_int8(i, 1) == job->job_id)
				losers = lappend(losers, job);
	}

	return losers;
}

/*
 * As if these jobs had not been claimed.
 */
static void
put_back(List *jobs, const char *waiting_on)
{
	WfRows	   *rows = wf_rows_make(&put_back_plan);
	ListCell   *cell;

	foreach(cell, jobs)
	{
		const WfJob *job = lfirst(cell);
		Datum		values[] = {
			Int64GetDatum(job->job_id), TimestampTzGetDatum(job->run_at),
			wf_text_datum(waiting_on)
		};

		wf_rows_add(rows, values, waiting_on == NULL ? "  n" : NULL);
		wf_pace_put_back(job);
	}
	wf_rows_execute(rows);
}

/*
 * Nobody paused their items meanwhile: who does that waits for the locks of the
 * claim.
 */
void
wf_queue_put_back(List *jobs, const char *waiting_on)
{
	ListCell   *cell;

	put_back(jobs, waiting_on);
	foreach(cell, jobs)
	{
		const WfJob *job = lfirst(cell);

		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);
	}
}

/*
 * Puts back those of the jobs that lose; returns the others.
 */
List *
wf_claim_put_back(List *jobs, List *losers)
{
	List	   *winners = NIL;
	ListCell   *cell;

	if (losers == NIL)
		return jobs;
	put_back(losers, NULL);
	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (!contains_job(losers, job->job_id))
			winners = lappend(winners, job);
	}

	return winners;
}

List *
wf_claim_without_losers(WfClaim *claim, List *jobs)
{
	return wf_claim_put_back(jobs, find_losers(claim, jobs));
}

/*
 * Takes what the limits allow; nobody else picks from a fair or rated queue meanwhile.
 */
static List *
take_in_line(WfClaim *claim)
{
	int			allowed = wf_claim_allowed(claim, claim->limit);
	List	   *jobs;

	claim->is_full = allowed <= 0 && claim->rate_opens_at == 0;
	if (allowed <= 0)
		return NIL;
	if (claim->is_rate_limited && !claim->is_fair && !claim->has_groups &&
		!wf_claim_units_fit(claim, wf_claim_head_units(claim)))
		return NIL;				/* without marking and putting back */

	jobs = wf_claim_pick_willing(claim, allowed);
	if (!claim->is_fair)
		jobs = wf_claim_without_losers(claim, jobs);
	if (claim->is_rate_limited)
		jobs = wf_claim_use_rate(claim, jobs);
	if (claim->is_fair)
		wf_claim_note_turn(claim, jobs);

	return jobs;
}

static List *
take(WfClaim *claim)
{
	List	   *jobs;

	if (claim->is_limited && !wf_claim_lock_limits(claim))
		return NIL;
	wf_line_begin(claim);
	if (claim->is_rate_limited)
		wf_claim_read_rate(claim);
	jobs = take_in_line(claim);
	wf_line_end(claim);

	return jobs;
}

static void
undo_look(void)
{
	undoing_own_look = true;
	wf_end_is_due(own_end);		/* an error leaves it as it is */
	RollbackAndReleaseCurrentSubTransaction();
	undoing_own_look = false;
}

/*
 * Takes in a subtransaction, of which nothing stays when nothing was taken.
 */
static List *
take_or_undo(WfClaim *claim)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List	   *volatile jobs = NIL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		jobs = take(claim);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		undo_look();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
		if (!claim->is_waiting || error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		claim->is_waiting = false;
		claim->is_contended = true;
		return NIL;
	}
	PG_END_TRY();

	if (jobs == NIL)
		undo_look();
	else
		ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(memory);
	CurrentResourceOwner = owner;

	return jobs;
}

static bool
may_leave_locks(const WfClaim *claim)
{
	return claim->is_limited || claim->is_rate_limited || claim->is_tenant_rated ||
		claim->has_groups;
}

/*
 * Takes up to claim->limit ready jobs of the queue and kind, in order, within
 * the limits of the queue.  Says in is_contended and rate_opens_at what else
 * there is to wait for, other than a commit.
 */
List *
wf_claim_take(WfClaim *claim)
{
	WfWakeTopic topic = wf_job_topic(claim->kind);
	List	   *jobs;

	claim->is_contended = claim->is_full = false;
	claim->rate_opens_at = 0;
	if (claim->is_rate_limited && wf_claim_rate_is_closed(claim))
		return NIL;				/* known without a lock */
	wf_ready_look(claim->queue, claim->kind, &claim->ready);
	if (wf_ready_is_none(&claim->ready, claim->now))
		return NIL;

	claim->has_groups = wf_ready_has_groups(&claim->ready, claim->queue);
	claim->grouped_from = claim->has_groups ? wf_grouped_mark(claim->queue) : 0;

	jobs = may_leave_locks(claim) ? take_or_undo(claim) : take(claim);
	if (jobs == NIL)
		return NIL;

	wf_claim_note_taken(topic);
	if (claim->makes_room)
		wf_wake_at_commit(WF_WAKE_ROOM, claim->queue);
	if (claim->lease_us == 0)
		wf_claim_bind_session();

	return jobs;
}
