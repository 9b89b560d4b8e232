/*
 * inner.c
 *	  Inner functions for the parts of the engine that are written in PL/pgSQL.
 *
 * Not granted to anybody; they run as the owner of the extension already.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const WfGraph *
argument_graph(FunctionCallInfo fcinfo)
{
	char	   *workflow = wf_argument_text(fcinfo, 0, "workflow");

	wf_require_argument(fcinfo, 1, "version");

	return wf_graph(workflow, PG_GETARG_INT32(1));
}

static Jsonb *
optional_jsonb(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_JSONB_P(argument);
}

/*
 * The item's data with what the event carried under the name of its state.
 */
static Jsonb *
data_with_result(const WfItem *item, const WfMove *move)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);
	Jsonb	   *data = move->data == NULL ? item->data : move->data;

	if (state->result_key == NULL || move->event_data == NULL)
		return move->data;

	return wf_jsonb_with(data, state->result_key, move->event_data);
}

/*
 * A decision is made by decide(), or by the engine where nobody has decided in
 * time; not by replay(), give_up() or cancel(), though it may have their name.
 */
static void
require_decision_made(const WfItem *item, const WfMove *move)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);

	if (strcmp(move->kind, "review") != 0 && strcmp(move->kind, "engine") != 0 &&
		wf_item_event_is_decision(wf_item_state(graph, item->state), move->event))
		wf_item_refuse_decision(item, move->event, "made by other means");
}

static int
move(FunctionCallInfo fcinfo, bool store_result)
{
	WfMove		move = {0};
	WfItem	   *item;
	int			seq;

	move.event = wf_argument_text(fcinfo, 1, "event");
	move.kind = wf_argument_text(fcinfo, 2, "kind");
	move.actor = wf_argument_text(fcinfo, 3, "actor");
	move.reason = wf_optional_text(fcinfo, 4);
	move.event_data = optional_jsonb(fcinfo, 5);
	move.data = optional_jsonb(fcinfo, 6);

	SPI_connect();
	item = wf_item_lock(wf_argument_item(fcinfo, false));
	require_decision_made(item, &move);
	if (store_result)
		move.data = data_with_result(item, &move);
	seq = wf_item_move(item, &move)->seq;
	SPI_finish();

	return seq;
}

PG_FUNCTION_INFO_V1(wf_inner_move);

/*
 * _move(item, event, kind, actor, reason, event_data, data) returns the new seq
 *
 * data null: as it is.
 */
Datum
wf_inner_move(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(move(fcinfo, false));
}

PG_FUNCTION_INFO_V1(wf_inner_move_with_result);

/*
 * The same, and what the event carried is stored under the state's name.
 */
Datum
wf_inner_move_with_result(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(move(fcinfo, true));
}

PG_FUNCTION_INFO_V1(wf_inner_set_timer);

/*
 * _set_timer(item, kind, due_at, event)
 */
Datum
wf_inner_set_timer(PG_FUNCTION_ARGS)
{
	wf_require_argument(fcinfo, 2, "due_at");
	SPI_connect();
	wf_item_set_timer(wf_item_read(wf_argument_item(fcinfo, false)),
					  wf_argument_text(fcinfo, 1, "kind"), PG_GETARG_TIMESTAMPTZ(2), wf_argument_text(fcinfo, 3, "event"));
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_require_running);

/*
 * _require_running(item): raises WF008 while it is paused
 */
Datum
wf_inner_require_running(PG_FUNCTION_ARGS)
{
	SPI_connect();
	wf_item_require_running(wf_item_read(wf_argument_item(fcinfo, false)));
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_wake_paused_jobs);

/*
 * _wake_paused_jobs(items): what waited because of a pause is ready, no sooner
 * than it was to run
 */
Datum
wf_inner_wake_paused_jobs(PG_FUNCTION_ARGS)
{
	static WfPlan plan = {
		.name = "paused jobs",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.sql = "SELECT job_id, run_at FROM workflow.job "
		"WHERE item_id = ANY ($1) AND status = 'waiting' AND waiting_on = 'paused' "
		"FOR UPDATE",
	};
	Datum		items = PG_GETARG_DATUM(0);
	SPITupleTable *jobs;

	SPI_connect();
	wf_plan_execute(&plan, &items, NULL);
	jobs = SPI_tuptable;
	for (uint64 row = 0; row < jobs->numvals; row++)
	{
		bool		isnull;
		Datum		job_id = SPI_getbinval(jobs->vals[row], jobs->tupdesc, 1, &isnull);
		Datum		run_at = SPI_getbinval(jobs->vals[row], jobs->tupdesc, 2, &isnull);

		wf_queue_unpark(DatumGetInt64(job_id), Max(DatumGetTimestampTz(run_at), wf_now()), false);
	}
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_effect_settled);

/*
 * _effect_settled(effect_id, actor): the jobs of an effect follow its state
 */
Datum
wf_inner_effect_settled(PG_FUNCTION_ARGS)
{
	char	   *actor = wf_argument_text(fcinfo, 1, "actor");

	wf_require_argument(fcinfo, 0, "effect_id");
	SPI_connect();
	wf_item_effect_settled(PG_GETARG_INT64(0), actor);
	SPI_finish();

	PG_RETURN_VOID();
}


PG_FUNCTION_INFO_V1(wf_inner_handles);

/*
 * _handles(item, event): whether the item's state handles an event
 */
Datum
wf_inner_handles(PG_FUNCTION_ARGS)
{
	WfItem	   *item;
	const WfGraph *graph;
	bool		handles;
	char	   *event = wf_argument_text(fcinfo, 1, "event");

	SPI_connect();
	item = wf_item_read(wf_argument_item(fcinfo, false));
	graph = wf_graph(item->workflow, item->version);
	handles = wf_state_transition(wf_item_state(graph, item->state), event) != NULL;
	SPI_finish();

	PG_RETURN_BOOL(handles);
}

PG_FUNCTION_INFO_V1(wf_inner_allowed_events);

/*
 * _allowed_events(item) returns text[]: those that pass now
 */
Datum
wf_inner_allowed_events(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	ArrayBuildState *events = initArrayResult(TEXTOID, caller, false);
	ListCell   *cell;

	SPI_connect();
	foreach(cell, wf_item_accepted_events(wf_item_read(wf_argument_item(fcinfo, false))))
		(void) accumArrayResult(events, CStringGetTextDatum(lfirst(cell)), false, TEXTOID, caller);
	SPI_finish();

	PG_RETURN_DATUM(makeArrayResult(events, caller));
}

PG_FUNCTION_INFO_V1(wf_inner_states_that_take);

/*
 * _states_that_take(workflow, version, state, event) returns text[]: null when
 * there is none
 */
Datum
wf_inner_states_that_take(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	ArrayBuildState *states = NULL;
	const WfGraph *graph;
	const WfState *from;
	ListCell   *cell;

	SPI_connect();
	graph = argument_graph(fcinfo);
	from = wf_item_state(graph, wf_argument_text(fcinfo, 2, "state"));
	foreach(cell, wf_item_states_that_take(graph, from, wf_argument_text(fcinfo, 3, "event")))
		states = accumArrayResult(states, CStringGetTextDatum(lfirst(cell)), false, TEXTOID, caller);
	SPI_finish();

	if (states == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(makeArrayResult(states, caller));
}

/*
 * What is wrong with a logged transition, as text; NULL when the version
 * declares it.
 */
static const char *
transition_problem(const WfGraph *graph, FunctionCallInfo fcinfo)
{
	char	   *from_name = wf_argument_text(fcinfo, 2, "from_state");
	char	   *event = wf_argument_text(fcinfo, 3, "event");
	char	   *to_name = wf_argument_text(fcinfo, 4, "to_state");
	char	   *kind = wf_argument_text(fcinfo, 6, "kind");
	const WfState *from = wf_graph_state(graph, from_name);
	WfItem		item = {0};
	const WfState *to;

	if (from == NULL)
		return psprintf("the version has no state \"%s\"", from_name);
	item.origin = wf_optional_text(fcinfo, 5);
	to = wf_item_target(graph, &item, from, event);
	if (to == NULL)
		return psprintf("\"%s\" does not handle \"%s\"", from_name, event);
	if (strcmp(to->name, to_name) != 0)
		return psprintf("\"%s\" leads from \"%s\" to \"%s\", not to \"%s\"",
						event, from_name, to->name, to_name);
	if (wf_item_event_is_decision(from, event) &&
		strcmp(kind, "review") != 0 && strcmp(kind, "engine") != 0)
		return psprintf("\"%s\" is a decision of a review, not of a move of kind %s", event, kind);

	return NULL;
}

PG_FUNCTION_INFO_V1(wf_inner_transition_problem);

/*
 * _transition_problem(workflow, version, from, event, to, origin, kind) returns text
 */
Datum
wf_inner_transition_problem(PG_FUNCTION_ARGS)
{
	const char *problem;
	text	   *result = NULL;

	SPI_connect();
	problem = transition_problem(argument_graph(fcinfo), fcinfo);
	if (problem != NULL)
	{
		Size		size = VARHDRSZ + strlen(problem);

		result = SPI_palloc(size);
		SET_VARSIZE(result, size);
		memcpy(VARDATA(result), problem, size - VARHDRSZ);
	}
	SPI_finish();

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

static Jsonb *
with_bool(Jsonb *object, const char *key, bool value)
{
	return wf_jsonb_with(object, key, wf_jsonb_from_cstring(value ? "true" : "false"));
}

PG_FUNCTION_INFO_V1(wf_inner_state_facts);

/*
 * _state_facts(workflow, version, state) returns {outcome, exception, initial,
 * job, spawn}: null when the state is unknown
 */
Datum
wf_inner_state_facts(PG_FUNCTION_ARGS)
{
	const WfGraph *graph;
	const WfState *found;
	Jsonb	   *facts = NULL;
	Jsonb	   *result = NULL;

	SPI_connect();
	graph = argument_graph(fcinfo);
	found = wf_graph_state(graph, wf_argument_text(fcinfo, 2, "state"));
	if (found != NULL)
	{
		facts = wf_jsonb_with(wf_jsonb_empty_object(), "outcome",
							  wf_jsonb_from_text(found->outcome));
		facts = with_bool(facts, "exception", found->kind == WF_ACTIVITY_EXCEPTION);
		facts = with_bool(facts, "initial", found == &graph->states[graph->initial]);
		facts = with_bool(facts, "job", wf_item_state_has_job(found));
		facts = with_bool(facts, "spawn", found->kind == WF_ACTIVITY_SPAWN);
		result = SPI_palloc(VARSIZE(facts));
		memcpy(result, facts, VARSIZE(facts));
	}
	SPI_finish();

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
