/*
 * sql_state.c
 *	  What a compiled graph says of one state, for answers.
 */
#include "postgres.h"

#include "base/plan.h"
#include "definition/definition_internal.h"
#include "funcapi.h"
#include "utils/builtins.h"

#define ROAD_COLUMNS 3
#define WORK_COLUMNS 3

/*
 * The state that the call names; *graph lives as long as the SPI connection
 * of the caller.
 */
static const WfState *
state_of_call(FunctionCallInfo fcinfo, const WfGraph **graph)
{
	*graph = wf_graph(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1));

	return wf_graph_state(*graph, text_to_cstring(PG_GETARG_TEXT_PP(2)));
}

static void
put_road(ReturnSetInfo *rsinfo, const WfGraph *graph, const WfTransition *road)
{
	Datum		values[ROAD_COLUMNS];
	bool		nulls[ROAD_COLUMNS] = {false};

	values[0] = wf_text_datum(road->event);
	values[1] = wf_text_datum(road->to == WF_TO_ORIGIN ? NULL : graph->states[road->to].name);
	nulls[1] = road->to == WF_TO_ORIGIN;
	values[2] = BoolGetDatum(road->from_any);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(wf_state_roads);

/*
 * _state_roads(name text, version int, state text) returns setof (event,
 * to_state, from_any): its transitions in the order in which they are looked
 * for; to_state is null for @origin
 */
Datum
wf_state_roads(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WfGraph *graph;
	const WfState *state;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	state = state_of_call(fcinfo, &graph);
	for (int i = 0; state != NULL && i < state->ntransitions; i++)
		put_road(rsinfo, graph, &state->transitions[i]);
	SPI_finish();

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_state_retry);

/*
 * _state_retry(name text, version int, state text) returns jsonb: its retry
 * policy; null where it has none
 */
Datum
wf_state_retry(PG_FUNCTION_ARGS)
{
	const WfGraph *graph;
	const WfState *state;
	Jsonb	   *retry = NULL;

	SPI_connect();
	state = state_of_call(fcinfo, &graph);
	if (state != NULL && state->retry != NULL)
	{
		retry = SPI_palloc(VARSIZE(state->retry));
		memcpy(retry, state->retry, VARSIZE(state->retry));
	}
	SPI_finish();

	if (retry == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(retry);
}

/*
 * Whether the activity does something, rather than only decide or wait.
 */
static bool
is_work(WfActivityKind kind)
{
	return kind == WF_ACTIVITY_SQL || kind == WF_ACTIVITY_HTTP || kind == WF_ACTIVITY_MODEL ||
		kind == WF_ACTIVITY_TASK || kind == WF_ACTIVITY_REVIEW || kind == WF_ACTIVITY_SPAWN;
}

PG_FUNCTION_INFO_V1(wf_graph_work);

/*
 * _graph_work(name text, version int) returns setof (state, kind, activity):
 * the states whose activity does something
 */
Datum
wf_graph_work(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WfGraph *graph;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	graph = wf_graph(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1));
	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];
		Datum		values[WORK_COLUMNS];
		bool		nulls[WORK_COLUMNS] = {false};

		if (!is_work(state->kind))
			continue;
		values[0] = wf_text_datum(state->name);
		values[1] = wf_text_datum(wf_activity_name(state->kind));
		values[2] = JsonbPGetDatum(state->activity);
		nulls[2] = state->activity == NULL;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();

	return (Datum) 0;
}
