/*
 * sql_graph.c
 *	  A compiled graph as rows, so that a change of the compiler is a readable
 *	  difference in a test.
 */
#include "postgres.h"

#include "base/plan.h"
#include "definition/definition_internal.h"
#include "funcapi.h"
#include "utils/builtins.h"

#define STATE_COLUMNS		8
#define TRANSITION_COLUMNS	4

static const WfGraph *
graph_of_call(FunctionCallInfo fcinfo)
{
	return wf_graph(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1));
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	values[column] = wf_text_datum(text);
	nulls[column] = text == NULL;
}

static void
put_state(ReturnSetInfo *rsinfo, const WfState *state)
{
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS] = {false};

	put_text(values, nulls, 0, state->name);
	put_text(values, nulls, 1, wf_activity_name(state->kind));
	put_text(values, nulls, 2, state->queue);
	put_text(values, nulls, 3, state->result_key);
	put_text(values, nulls, 4, state->outcome);
	values[5] = Int64GetDatum(state->timeout_us);
	nulls[5] = state->timeout_us == 0;

	put_text(values, nulls, 6, state->timeout_event);
	values[7] = JsonbPGetDatum(state->retry);
	nulls[7] = state->retry == NULL;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(wf_graph_states);

/*
 * _graph_states(name text, version int) returns setof (state, kind, queue,
 * result_key, outcome, timeout_us, timeout_event, retry)
 */
Datum
wf_graph_states(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WfGraph *graph;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	graph = graph_of_call(fcinfo);
	for (int i = 0; i < graph->nstates; i++)
		put_state(rsinfo, &graph->states[i]);
	SPI_finish();

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_graph_transitions);

/*
 * _graph_transitions(name text, version int) returns setof (state, event,
 * to_state, from_any)
 */
Datum
wf_graph_transitions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WfGraph *graph;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	graph = graph_of_call(fcinfo);
	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];

		for (int j = 0; j < state->ntransitions; j++)
		{
			const WfTransition *transition = &state->transitions[j];
			Datum		values[TRANSITION_COLUMNS];
			bool		nulls[TRANSITION_COLUMNS] = {false};

			put_text(values, nulls, 0, state->name);
			put_text(values, nulls, 1, transition->event);
			put_text(values, nulls, 2, transition->to == WF_TO_ORIGIN ? "@origin" :
					 graph->states[transition->to].name);
			values[3] = BoolGetDatum(transition->from_any);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	SPI_finish();

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_active_version);

/*
 * _active_version(name text) returns int: the version that new items get.
 */
Datum
wf_active_version(PG_FUNCTION_ARGS)
{
	int			version;

	SPI_connect();
	version = wf_active_graph(text_to_cstring(PG_GETARG_TEXT_PP(0)))->version;
	SPI_finish();

	PG_RETURN_INT32(version);
}

PG_FUNCTION_INFO_V1(wf_event_possible);

/*
 * _event_possible_later(name text, version int, state text, event text)
 * returns bool
 */
Datum
wf_event_possible(PG_FUNCTION_ARGS)
{
	const WfGraph *graph;
	const WfState *state;
	bool		possible;

	SPI_connect();
	graph = graph_of_call(fcinfo);
	state = wf_graph_state(graph, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	possible = state != NULL &&
		wf_event_possible_later(graph, state, text_to_cstring(PG_GETARG_TEXT_PP(3)));

	SPI_finish();

	PG_RETURN_BOOL(possible);
}
