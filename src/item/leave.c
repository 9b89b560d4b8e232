/*
 * leave.c
 *	  Leaving a state: what its visit set going comes to an end.
 *
 * The job is dropped (whoever still works on it finds its token stale), timers
 * are deleted, an open review is closed, and effects that have not begun are
 * cancelled; one that is sending ends alone and is recorded in the ledger.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"

/*
 * Whether a visit of the state has a job as long as it lasts.
 */
bool
wf_item_state_has_job(const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_TASK:
		case WF_ACTIVITY_REVIEW:
		case WF_ACTIVITY_EXCEPTION:
			return true;
		default:
			return false;
	}
}

static bool
has_effect(const WfState *state)
{
	return state->kind == WF_ACTIVITY_HTTP || state->kind == WF_ACTIVITY_MODEL;
}

/*
 * A first visit may have waited for its start with a timer, unless its job did;
 * a migration does not end it, and may have led from the one to the other.
 */
static bool
may_have_timers(const WfItem *item, const WfState *state)
{
	return state->timeout_us > 0 || state->awaits_compensation || state->kind == WF_ACTIVITY_WAIT ||
		state->kind == WF_ACTIVITY_REVIEW || state->kind == WF_ACTIVITY_SPAWN ||
		(item->is_unmoved &&
		 (item->seq != WF_FIRST_SEQ || !wf_item_job_carries_start(state)));
}

/*
 * Other items may wait for the effect of a job that is dropped: one of them
 * sends it then.  Returns whether there is one.
 */
static bool
hand_over_effect(int64 job_id, int64 effect_id)
{
	static WfPlan plan = {
		.name = "find job that waits for effect",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT8OID},
		.sql = "SELECT job_id FROM workflow.job "
		"WHERE effect_id = $1 AND job_id <> $2 AND status = 'waiting' "
		"ORDER BY job_id LIMIT 1 FOR UPDATE SKIP LOCKED",
	};
	Datum		values[2];

	if (effect_id == 0)
		return false;
	values[0] = Int64GetDatum(effect_id);
	values[1] = Int64GetDatum(job_id);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return false;
	wf_queue_unpark(wf_result_int8(0, 1), wf_now(), false);

	return true;
}

/*
 * Somebody works on the job: the attempt stays on record.  (Those of a job
 * with an effect are the effect's.)
 */
static void
record_cancelled(const WfJob *job)
{
	WfAttempt	attempt = {0};

	if (strcmp(job->status, "running") != 0 || job->effect_id != 0)
		return;
	attempt.job_id = job->job_id;
	attempt.item_id = job->item_id;
	attempt.queue = job->queue;
	attempt.kind = job->kind;
	attempt.attempt = job->attempt;
	attempt.worker = job->worker;
	attempt.started_at = job->claimed_at;
	attempt.outcome = "cancelled";
	attempt.message = "the item left the state";
	wf_queue_record_attempt(&attempt);
}

/*
 * Drops the job of the visit.  Returns whether its effect has been handed to
 * another item.
 */
static bool
drop_job(const WfItem *item)
{
	static WfPlan plan = {
		.name = "find job of visit",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT job_id FROM workflow.job WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[2];
	WfJob	   *job;

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return false;
	job = wf_queue_lock(wf_result_int8(0, 1));
	if (job == NULL)
		return false;
	record_cancelled(job);
	wf_queue_drop(job->job_id);

	return hand_over_effect(job->job_id, job->effect_id);
}

static void
close_reviews(const WfItem *item)
{
	static WfPlan plan = {
		.name = "close reviews",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT workflow._close_reviews($1, $2)",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	wf_plan_execute(&plan, values, NULL);
}

/*
 * Whether a visit of the state has left nothing that has to come to an end.
 */
bool
wf_item_leaves_quietly(const WfItem *item, const WfState *state, bool job_is_gone)
{
	return (job_is_gone || !wf_item_state_has_job(state)) && state->sla_us == 0 &&
		!may_have_timers(item, state);
}

/*
 * Ends the visit of a state; item is as it was in it.
 */
void
wf_item_leave(const WfItem *item, const WfState *state, bool job_is_gone)
{
	bool		handed_over = false;

	if (state->kind == WF_ACTIVITY_SPAWN)
		(void) wf_spawn_lock(item->item_id, item->seq); /* before its timers */
	if (wf_item_state_has_job(state) && !job_is_gone)
		handed_over = drop_job(item);
	if (may_have_timers(item, state))
		wf_item_drop_timers(item);
	wf_item_end_sla(item, state);
	if (state->kind == WF_ACTIVITY_REVIEW)
		close_reviews(item);
	if (has_effect(state) && !job_is_gone && !handed_over)
		wf_effect_cancel_visit(item->item_id, item->seq);
}
