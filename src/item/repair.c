/*
 * repair.c
 *	  Taking up what stands still: a dead letter, the children of a visit, or an
 *	  item from an earlier state of its path on.
 *
 * A rewind is a move, logged and judged like any other, whose target no event
 * declares: the item has been there.  The state is entered anew, so what was
 * done under a key is met again and its result is used.  Who may be moved is
 * judged before, in sql/repair.sql, under the locks of the item, its job and its
 * effects.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/deferred.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/builtins.h"

static void
read_visit(FunctionCallInfo fcinfo, int actor_argument, WfVisit *visit)
{
	visit->item = wf_item_lock(wf_argument_item(fcinfo, false));
	visit->graph = wf_graph(visit->item->workflow, visit->item->version);
	visit->state = wf_item_state(visit->graph, visit->item->state);
	visit->actor = wf_argument_text(fcinfo, actor_argument, "actor");
}

/* ------------------------------------------------------------- dead letters */

/*
 * Whoever claims the task next is given the data as it is now.
 */
static void
rearm_task(const WfVisit *visit, const WfJob *job)
{
	static WfPlan plan = {
		.name = "renew payload of task",
		.expected = SPI_OK_UPDATE,
		.nargs = 2,
		.argtypes = {INT8OID, JSONBOID},
		.sql = "UPDATE workflow.job SET payload = $2 WHERE job_id = $1",
	};
	Datum		values[2] = {Int64GetDatum(job->job_id), JsonbPGetDatum(visit->item->data)};

	wf_plan_execute(&plan, values, NULL);
	wf_queue_unpark(job->job_id, wf_now(), true);
}

/*
 * A review that could not be shown has none open: it is asked for now.
 */
static void
rearm_review(const WfVisit *visit, const WfJob *job)
{
	wf_queue_drop(job->job_id);
	(void) wf_item_enter_review(visit);
}

static void
rearm(const WfVisit *visit, const WfJob *job)
{
	switch (visit->state->kind)
	{
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
			wf_item_rearm_request(visit, job);
			break;
		case WF_ACTIVITY_TASK:
			rearm_task(visit, job);
			break;
		case WF_ACTIVITY_REVIEW:
			rearm_review(visit, job);
			break;
		default:
			wf_queue_unpark(job->job_id, wf_now(), true);
	}
}

PG_FUNCTION_INFO_V1(wf_inner_rearm);

/*
 * _rearm(item, job_id, actor): a dead letter of the item's visit is taken up
 * again, with the data as it is now
 */
Datum
wf_inner_rearm(PG_FUNCTION_ARGS)
{
	WfVisit		visit = {0};
	WfJob	   *job;

	wf_require_argument(fcinfo, 1, "job_id");
	SPI_connect();
	read_visit(fcinfo, 2, &visit);
	job = wf_queue_lock(PG_GETARG_INT64(1));
	if (job == NULL)
		elog(ERROR, "job " INT64_FORMAT " is gone", PG_GETARG_INT64(1));
	rearm(&visit, job);
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_replay_spawn);

/*
 * _replay_spawn(item, actor): the children of the item's visit are taken up
 * again, by the data as it is now
 */
Datum
wf_inner_replay_spawn(PG_FUNCTION_ARGS)
{
	WfVisit		visit = {0};

	SPI_connect();
	read_visit(fcinfo, 1, &visit);
	wf_item_replay_spawn(&visit);
	SPI_finish();

	PG_RETURN_VOID();
}

/* -------------------------------------------------------------------- batch */

PG_FUNCTION_INFO_V1(wf_inner_fire_deferred);

/*
 * _fire_deferred(): what a step of a worker has put off fires now.
 */
Datum
wf_inner_fire_deferred(PG_FUNCTION_ARGS)
{
	wf_deferred_fire_steps();

	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------- rewind */

PG_FUNCTION_INFO_V1(wf_inner_rewind);

/*
 * _rewind_item(item, to_state, actor, reason, event_data, data): enters a state
 * of the item's path anew; data null: as it is
 */
Datum
wf_inner_rewind(PG_FUNCTION_ARGS)
{
	WfMove		move = {.event = "rewind",.kind = "rewind"};
	WfActiveMove mine = {.move = &move,.context = CurrentMemoryContext};
	WfVisit		visit = {0};

	move.reason = wf_optional_text(fcinfo, 3);
	wf_require_argument(fcinfo, 4, "event_data");
	move.event_data = PG_GETARG_JSONB_P(4);
	move.data = PG_ARGISNULL(5) ? NULL : PG_GETARG_JSONB_P(5);

	SPI_connect();
	read_visit(fcinfo, 2, &visit);
	move.actor = visit.actor;
	mine.item = visit.item;
	mine.graph = visit.graph;
	mine.from = visit.state;
	mine.to = wf_item_state(visit.graph, wf_argument_text(fcinfo, 1, "to_state"));
	wf_item_update_as(&mine);
	SPI_finish();

	PG_RETURN_VOID();
}
