/*
 * reach.c
 *	  Which states lead to which; pure.
 *
 * Found on demand, in time linear in the transitions: a table of all pairs
 * would make a large workflow cost the square of its size in every session.
 */
#include "postgres.h"

#include "definition/definition_internal.h"

/*
 * Whether a state can be an origin: it can be left for an exception state.
 */
static bool
can_be_origin(const WfGraph *graph, const WfState *state)
{
	for (int i = 0; i < state->ntransitions; i++)
	{
		int			to = state->transitions[i].to;

		if (to >= 0 && graph->states[to].kind == WF_ACTIVITY_EXCEPTION)
			return state->kind != WF_ACTIVITY_EXCEPTION;
	}

	return false;
}

/* States that are known to be reached and whose ways out were not taken yet. */
typedef struct Frontier
{
	bool	   *reached;
	int		   *stack;
	int			depth;
	bool		has_origins;	/* all that can be an origin are reached */
} Frontier;

static void
reach(Frontier *frontier, int state)
{
	if (frontier->reached[state])
		return;
	frontier->reached[state] = true;
	frontier->stack[frontier->depth++] = state;
}

static void
reach_origins(Frontier *frontier, const WfGraph *graph)
{
	if (frontier->has_origins)
		return;
	frontier->has_origins = true;
	for (int i = 0; i < graph->nstates; i++)
		if (can_be_origin(graph, &graph->states[i]))
			reach(frontier, i);
}

static void
reach_targets(Frontier *frontier, const WfGraph *graph, const WfState *from)
{
	for (int i = 0; i < from->ntransitions; i++)
	{
		if (from->transitions[i].to >= 0)
			reach(frontier, from->transitions[i].to);
		else
			reach_origins(frontier, graph);
	}
}

bool *
wf_graph_reached(const WfGraph *graph, const WfState *from)
{
	Frontier	frontier = {0};

	frontier.reached = palloc0(sizeof(bool) * graph->nstates);
	frontier.stack = palloc(sizeof(int) * graph->nstates);
	reach_targets(&frontier, graph, from);
	while (frontier.depth > 0)
		reach_targets(&frontier, graph, &graph->states[frontier.stack[--frontier.depth]]);
	pfree(frontier.stack);

	return frontier.reached;
}

bool *
wf_graph_reached_forward(const WfGraph *graph, const bool *sources)
{
	Frontier	frontier = {0};

	frontier.reached = palloc0(sizeof(bool) * graph->nstates);
	frontier.stack = palloc(sizeof(int) * graph->nstates);
	frontier.has_origins = true;	/* as if they were reached already */
	for (int i = 0; i < graph->nstates; i++)
		if (sources[i])
			reach_targets(&frontier, graph, &graph->states[i]);
	while (frontier.depth > 0)
		reach_targets(&frontier, graph, &graph->states[frontier.stack[--frontier.depth]]);
	pfree(frontier.stack);

	return frontier.reached;
}

/* ------------------------------------------------------------- the other way */

struct WfWaysBack
{
	const WfGraph *graph;
	int		   *first;			/* [nstates + 1]: where a state's ways begin */
	int		   *from;			/* the states that lead to it */
	bool	   *is_origin;
	List	   *to_origin;		/* indexes of states that lead to "@origin" */
};

static void
sort_by_target(WfWaysBack *ways)
{
	const WfGraph *graph = ways->graph;
	int		   *next = palloc0(sizeof(int) * (graph->nstates + 1));

	for (int i = 0; i < graph->nstates; i++)
		for (int j = 0; j < graph->states[i].ntransitions; j++)
			if (graph->states[i].transitions[j].to >= 0)
				ways->first[graph->states[i].transitions[j].to + 1]++;
	for (int i = 0; i < graph->nstates; i++)
		ways->first[i + 1] += ways->first[i];
	ways->from = palloc(sizeof(int) * Max(1, ways->first[graph->nstates]));
	memcpy(next, ways->first, sizeof(int) * graph->nstates);
	for (int i = 0; i < graph->nstates; i++)
		for (int j = 0; j < graph->states[i].ntransitions; j++)
		{
			int			to = graph->states[i].transitions[j].to;

			if (to >= 0)
				ways->from[next[to]++] = i;
			else if (ways->to_origin == NIL || llast_int(ways->to_origin) != i)
				ways->to_origin = lappend_int(ways->to_origin, i);
		}
	pfree(next);
}

WfWaysBack *
wf_ways_back(const WfGraph *graph)
{
	WfWaysBack *ways = palloc0(sizeof(WfWaysBack));

	ways->graph = graph;
	ways->first = palloc0(sizeof(int) * (graph->nstates + 1));
	ways->is_origin = palloc(sizeof(bool) * graph->nstates);
	for (int i = 0; i < graph->nstates; i++)
		ways->is_origin[i] = can_be_origin(graph, &graph->states[i]);
	sort_by_target(ways);

	return ways;
}

static void
reach_sources(Frontier *frontier, const WfWaysBack *ways, int target)
{
	ListCell   *cell;

	for (int i = ways->first[target]; i < ways->first[target + 1]; i++)
		reach(frontier, ways->from[i]);
	if (!ways->is_origin[target] || frontier->has_origins)
		return;
	frontier->has_origins = true;
	foreach(cell, ways->to_origin)
		reach(frontier, lfirst_int(cell));
}

bool *
wf_graph_leading_to(const WfWaysBack *ways, const bool *targets)
{
	Frontier	frontier = {0};
	int			nstates = ways->graph->nstates;

	frontier.reached = palloc0(sizeof(bool) * nstates);
	frontier.stack = palloc(sizeof(int) * nstates);
	for (int i = 0; i < nstates; i++)
		if (targets[i])
			reach_sources(&frontier, ways, i);
	while (frontier.depth > 0)
		reach_sources(&frontier, ways, frontier.stack[--frontier.depth]);
	pfree(frontier.stack);

	return frontier.reached;
}
