/*
 * lanes.c
 *	  The jobs of a queue that are in its lane, beside those in the table.
 *
 * In a lane go jobs that stand alone, have no key and no group, and are due at
 * once, with priority 0, of a queue without limits.  A claim takes from both
 * places in one order, but looks into the table only when something has
 * changed there since it last found nothing.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/rate.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/end.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "lane/lane.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* The table is looked into at least so often, whatever is known of it. */
#define LOOK_EVERY_US USECS_PER_SEC

static WfPlan head_plan = {
	.name = "table_head",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 5,
	.argtypes = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.priority, j.run_at FROM workflow.job AS j "
	"WHERE j.kind = 'task' AND j.queue = $1 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $2 "
	"  AND ($3 IS NULL OR (j.priority, j.run_at) > (0, $3)) "
	"  AND (j.priority, j.run_at) >= ($4, $5) "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT 1",
};

/*
 * The lane of a queue, entered without running a statement; 0 when that is not
 * possible.
 */
static WfLaneNo
lane_of_built(WfQueueFacts *facts)
{
	WfLaneNo	lane = wf_lane_of_built(facts->queue_no, facts->lane);

	facts->lane = lane;

	return lane;
}

static bool
takes_jobs(const WfQueueFacts *facts)
{
	return facts != NULL && !facts->is_limited && !wf_clock_is_faked();
}

static bool
store(const WfQueueFacts *facts, WfLaneNo lane, const Datum *payloads, int count, Datum *job_ids)
{
	const char *queue = facts->queue;
	int			queue_no = facts->queue_no;
	int64	   *ids;

	if (lane == 0)
		return false;
	ids = palloc(sizeof(int64) * count);
	wf_ids_draw(WF_JOB_IDS, ids, count);
	if (!wf_lane_store(lane, ids, payloads, count, wf_now()))
		return false;
	if (!facts->is_known || facts->queue_no != queue_no)
		wf_queue_require_still(queue, queue_no);
	for (int i = 0; i < count; i++)
		job_ids[i] = Int64GetDatum(ids[i]);
	wf_pace_stored(queue, count);
	wf_wake_waiters_at_commit(queue);

	return true;
}

/*
 * Stores jobs in the lane of a queue; false when they have to go into the
 * table.
 */
bool
wf_lanes_store(const char *queue, const Datum *payloads, int count, Datum *job_ids)
{
	WfQueueFacts *facts = wf_queue_facts(queue);

	return takes_jobs(facts) &&
		store(facts, wf_lane_enter(facts->queue_no), payloads, count, job_ids);
}

/*
 * The same where all is known that is needed, so that no statement is run; the
 * caller need not be anybody special.  False says nothing.
 */
bool
wf_lanes_store_at_once(const char *queue, const Datum *payloads, int count, Datum *job_ids)
{
	WfQueueFacts *facts = wf_queue_facts_known(queue);

	return takes_jobs(facts) && store(facts, lane_of_built(facts), payloads, count, job_ids);
}

/* -------------------------------------------------------------------- commit */

/* How far the log was when the present transaction had claimed, and no more. */
static XLogRecPtr claimed_until = InvalidXLogRecPtr;
static WfEnd own_end = 0;

/*
 * A claim that is lost with the server's memory is no loss: the session that
 * had it is gone, too.  A transaction that has done nothing else need not wait
 * for the disk.  One that has given a lease must: leases outlive the server.  So
 * must one of a queue whose jobs have but one attempt, or it would be made twice.
 */
static void
around_commit(XactEvent event, void *arg)
{
	static int	asked_for = SYNCHRONOUS_COMMIT_OFF;

	if (event == XACT_EVENT_PRE_COMMIT && claimed_until != InvalidXLogRecPtr &&
		claimed_until == XactLastRecEnd && synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
	{
		/* by the variable itself: to set it by its name costs as much again */
		asked_for = synchronous_commit;
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	}
	else if (asked_for != SYNCHRONOUS_COMMIT_OFF)
	{
		synchronous_commit = asked_for;
		asked_for = SYNCHRONOUS_COMMIT_OFF;
	}
	claimed_until = InvalidXLogRecPtr;
}

static void
note_claim(bool may_be_lost)
{
	claimed_until = may_be_lost ? XactLastRecEnd : InvalidXLogRecPtr;
	wf_end_is_due(own_end);
}

/* ------------------------------------------------------------------ claiming */

static WfJob *
job_of(const WfClaim *claim, const WfLaneAsk *ask, const WfLaneJob *found, const uint8 *secret)
{
	WfJob	   *job = palloc0(sizeof(WfJob));

	job->job_id = found->job_id;
	job->queue = claim->queue;
	job->kind = "task";
	job->status = "running";
	job->attempt = 1;
	job->token = wf_lane_token(secret, found->slot);
	job->worker = claim->worker;
	job->claimed_at = claim->now;
	job->lease_until = ask->lease_until;
	job->payload = found->payload;
	job->run_at = found->stored_at;

	return job;
}

/*
 * Claims jobs of the lane that were stored until a time.  Where there is no memory
 * for that, nothing, and the claim is_cramped.
 */
static List *
take(WfClaim *claim, WfLaneNo lane, int limit, TimestampTz before)
{
	uint8		secret[WF_LANE_SECRET];
	WfLaneAsk	ask = {.worker = claim->worker,.limit = limit,.before = before,
		.now = claim->now,
		.lease_until = claim->lease_us > 0 ? claim->now + claim->lease_us : 0,
	.may_be_lost = claim->lease_us == 0 && !claim->runs_once};
	WfLaneJob  *found = palloc(sizeof(WfLaneJob) * limit);

	/* not by the log: where pages have checksums, reading writes to it, too */
	bool		is_first_write = !TransactionIdIsValid(GetTopTransactionIdIfAny());
	int			count = wf_lane_claim(lane, &ask, found, secret);
	List	   *jobs = NIL;

	claim->is_cramped = count < 0;
	if (count > 0)
	{
		wf_claim_note_taken(WF_WAKE_TASK);
		note_claim(is_first_write && ask.may_be_lost);
		wf_pace_started(claim->queue, claim->now, found, count);
	}

	for (int i = 0; i < count; i++)
		jobs = lappend(jobs, job_of(claim, &ask, &found[i], secret));
	pfree(found);
	if (count > 0 && ask.lease_until == 0)
		wf_claim_bind_session();

	return jobs;
}

/* The first ready job in the table. */
typedef struct TableHead
{
	bool		is_there;
	int			priority;
	TimestampTz run_at;
} TableHead;

/*
 * beyond: behind the place of a lane's job that was stored then; 0: of all.
 */
static TableHead
search_table_head(const WfClaim *claim, const WfReady *ready, TimestampTz beyond)
{
	TableHead	head = {0};
	WfReadyFirst from;
	Datum		values[5];

	if (!wf_ready_first(ready, claim->now, &from))
		return head;
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = TimestampTzGetDatum(claim->now);
	values[2] = TimestampTzGetDatum(beyond);
	values[3] = Int32GetDatum(from.priority);
	values[4] = TimestampTzGetDatum(from.run_at);
	head.is_there = wf_plan_execute(&head_plan, values, beyond == 0 ? "  n  " : NULL) > 0;
	if (head.is_there)
	{
		head.priority = wf_result_int4(0, 1);
		head.run_at = DatumGetTimestampTz(wf_result_datum(0, 2, NULL));
	}

	return head;
}

/*
 * The same, from low-water marks where there are some.  A job of priority 0
 * before "beyond" was looked for; what is known of that priority begins there.
 */
static TableHead
table_head(const WfClaim *claim, TimestampTz beyond)
{
	TableHead	head = {0};
	WfReady		ready;

	wf_ready_look(claim->queue, claim->kind, &ready);
	if (!ready.is_known)
		return search_table_head(claim, &ready, beyond);
	for (int i = 0; i < ready.n && !head.is_there; i++)
	{
		WfReadyFirst *first = &ready.firsts[i];

		if (beyond != 0 && first->priority < 0)
			continue;
		if (beyond != 0 && first->priority == 0 && first->run_at <= beyond)
			first->run_at = wf_ready_after(claim->queue, claim->kind, 0, beyond);
		if (first->run_at <= claim->now)
			head = (TableHead)
		{
			true, first->priority, first->run_at
		};
	}

	return head;
}

static bool
comes_first(const TableHead *head, TimestampTz lane_head)
{
	return TIMESTAMP_IS_NOEND(lane_head) || head->priority < 0 ||
		(head->priority == 0 && head->run_at <= lane_head);
}

/*
 * Claims from the table what comes before the lane's first job.
 */
static List *
take_from_table(WfClaim *claim, int limit, TimestampTz lane_head)
{
	int			wanted = claim->limit;
	List	   *jobs;

	claim->limit = limit;
	claim->until_priority = TIMESTAMP_IS_NOEND(lane_head) ? PG_INT32_MAX : 0;
	claim->until_run_at = lane_head;
	jobs = wf_claim_look_into_table(claim);
	claim->limit = wanted;

	return jobs;
}

/*
 * Claims jobs of the lane; without memory for that, as many go into the table,
 * and are claimed there.
 */
static List *
take_or_move(WfClaim *claim, WfLaneNo lane, int limit, TimestampTz before)
{
	List	   *jobs = take(claim, lane, limit, before);

	if (!claim->is_cramped)
		return jobs;
	wf_lanes_move_ready(lane, limit);

	return take_from_table(claim, limit, DT_NOEND);
}

/*
 * Claims from both places, always from the one whose first job comes first.
 * What is ready in the table may still not be free: somebody has locked it, or
 * another job of its group is running.  The lane's first job is next then.
 */
static List *
take_from_both(WfClaim *claim, WfLaneNo lane, bool *is_table_empty)
{
	List	   *jobs = NIL;
	TimestampTz searched_until = 0;

	*is_table_empty = true;
	while (list_length(jobs) < claim->limit)
	{
		int			wanted = claim->limit - list_length(jobs);
		TimestampTz lane_head = wf_lane_head(lane);
		TableHead	head = table_head(claim, searched_until);
		bool		is_table = head.is_there ? comes_first(&head, lane_head) :
		TIMESTAMP_IS_NOEND(lane_head);
		List	   *found = is_table ? take_from_table(claim, wanted, lane_head) :
		take_or_move(claim, lane, wanted,
					 head.is_there && head.priority == 0 ? head.run_at : DT_NOEND);

		*is_table_empty = *is_table_empty && !head.is_there;
		jobs = list_concat(jobs, found);
		if (found != NIL)
			continue;
		if (!is_table || TIMESTAMP_IS_NOEND(lane_head) || lane_head == searched_until)
			break;
		searched_until = lane_head;
	}

	return jobs;
}

/*
 * Remembers when the table is to be looked into again.
 */
static void
note_look(const WfClaim *claim, WfQueueFacts *facts, uint64 count, bool is_empty)
{
	facts->table_count = count;
	facts->table_due = is_empty ?
		Min(wf_claim_next_due(claim), claim->now + LOOK_EVERY_US) : 0;
}

static bool
table_may_have(const WfClaim *claim, const WfQueueFacts *facts)
{
	return facts->table_due <= claim->now || max_prepared_xacts > 0 ||
		facts->table_count != wf_wake_count(claim->queue);
}

/*
 * Whether a claim would find a job in the lane of its queue.  What was lost in any
 * lane is given back, as by a claim: there may be nothing of this queue in it.
 */
bool
wf_lanes_have_work(WfClaim *claim)
{
	WfQueueFacts *facts = wf_queue_facts(claim->queue);
	WfLaneNo	lane = facts == NULL ? 0 : wf_lane_enter(facts->queue_no);

	claim->has_lane = lane != 0 && !facts->is_limited;
	if (claim->has_lane && wf_lane_next_end() <= claim->now && wf_lanes_move_lost(false) > 0)
		claim->has_changed = true;

	return lane != 0 && !TIMESTAMP_IS_NOEND(wf_lane_head(lane));
}

/*
 * One look at a queue with a lane.  *is_done is false when the queue has none:
 * the table is all there is.
 */
List *
wf_lanes_look(WfClaim *claim, bool *is_done)
{
	WfQueueFacts *facts = strcmp(claim->kind, "task") == 0 ? wf_queue_facts(claim->queue) : NULL;
	uint64		count;
	bool		is_table_empty = false;
	WfLaneNo	lane;
	List	   *jobs;

	*is_done = claim->has_lane = false;
	claim->table_rests_until = 0;
	if (facts == NULL || facts->is_paused || (lane = wf_lane_enter(facts->queue_no)) == 0)
		return NIL;
	if (facts->is_limited || strlen(claim->worker) > WF_LANE_WORKER)
	{
		/*
		 * the queue has got a limit since, or a lane has no room for the name
		 * of the worker
		 */
		wf_lanes_move_ready(lane, claim->limit);
		return NIL;
	}
	*is_done = claim->has_lane = true;
	claim->runs_once = facts->runs_once;
	if (!claim->is_lease_asked)
		claim->lease_us = facts->lease_us;
	claim->is_paused = claim->is_contended = false;
	claim->rate_opens_at = 0;
	if (wf_lane_next_end() <= claim->now && wf_lanes_move_lost(false) > 0)
	{
		/* others see them when the transaction has ended */
		claim->has_changed = true;
		wf_claim_reclaim(claim->queue, claim->kind, RECLAIM_LIMIT, false);
		wf_claim_reclaim(claim->queue, claim->kind, RECLAIM_LIMIT, true);
		facts->table_due = 0;
	}
	if (!table_may_have(claim, facts))
	{
		claim->table_rests_until = facts->table_due;
		return take_or_move(claim, lane, claim->limit, DT_NOEND);
	}
	count = wf_wake_count(claim->queue);
	jobs = take_from_both(claim, lane, &is_table_empty);
	note_look(claim, facts, count, is_table_empty);

	return jobs;
}

/*
 * The same look where nothing but the lane is to be looked into, and all is
 * known that is needed: no statement is run.  *is_done is false when that is
 * not so.
 */
List *
wf_lanes_look_at_once(WfClaim *claim, bool *is_done)
{
	WfQueueFacts *facts = wf_queue_facts_known(claim->queue);
	List	   *jobs;
	WfLaneNo	lane = 0;

	claim->now = wf_now();
	*is_done = facts != NULL && !facts->is_limited && !facts->is_paused &&
		strlen(claim->worker) <= WF_LANE_WORKER &&
		(lane = lane_of_built(facts)) != 0 && wf_lane_next_end() > claim->now &&
		!table_may_have(claim, facts);
	claim->has_lane = *is_done;
	if (!*is_done)
		return NIL;
	claim->runs_once = facts->runs_once;
	if (!claim->is_lease_asked)
		claim->lease_us = facts->lease_us;

	jobs = take(claim, lane, claim->limit, DT_NOEND);
	*is_done = !claim->is_cramped;

	return jobs;
}

TimestampTz
wf_queue_write_claims(void)
{
	TimestampTz again = wf_lane_write_claims();

	return TIMESTAMP_IS_NOEND(again) ? 0 : again;
}

TimestampTz
wf_queue_tidy(void)
{
	TimestampTz again = wf_lanes_move_stragglers() > 0 ? wf_now() : wf_lane_tidy();

	again = Min(again, wf_spent_sweep());
	again = Min(again, wf_rates_sweep());

	return TIMESTAMP_IS_NOEND(again) ? 0 : again;
}

void
wf_lanes_init(void)
{
	own_end = wf_end_register(around_commit, NULL);
	wf_lane_set_move_hook(wf_lanes_move_read);
}
