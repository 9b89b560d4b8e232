/*
 * check_loop.c
 *	  Loops that only work goes round in: nobody is asked, nothing is counted.
 *
 * What ends such a loop is what a service or a model answers.  States where a
 * person, a program of the user's or an event from outside decides are left
 * out, and so are an sql state that names its own events and a gate on what an
 * sql state stored: those can count.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

/* --------------------------------------------------------------- who decides */

/*
 * Whether an sql function says where to go on by events of its own.
 */
static bool
names_events(const WfState *state)
{
	for (int i = 0; i < state->ntransitions; i++)
	{
		const char *event = state->transitions[i].event;

		if (!state->transitions[i].from_any && strcmp(event, "ok") != 0 &&
			strcmp(event, "error") != 0 && strcmp(event, "timeout") != 0)
			return true;
	}

	return false;
}

static bool
is_stored_by_sql(const WfGraph *graph, const char *key)
{
	for (int i = 0; i < graph->nstates; i++)
		if (graph->states[i].kind == WF_ACTIVITY_SQL &&
			graph->states[i].result_key != NULL &&
			strcmp(graph->states[i].result_key, key) == 0)
			return true;

	return false;
}

static bool
may_count(const WfGraph *graph, const WfState *state)
{
	char	   *value;

	if (state->kind == WF_ACTIVITY_SQL)
		return names_events(state);
	if (state->kind != WF_ACTIVITY_GATE)
		return false;
	value = wf_jsonb_get_text(state->activity, "value");
	value = value == NULL ? NULL : wf_selector_root(value);

	return value != NULL && is_stored_by_sql(graph, value);
}

static bool
is_automatic(const WfGraph *graph, const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_VALIDATE:
		case WF_ACTIVITY_THEN:
			return true;
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_GATE:
			return !may_count(graph, state);
		default:
			return false;
	}
}

/*
 * The transitions between the states that take part, as edges.  without: an
 * event that leads nowhere, or NULL.
 */
static List **
edges_between(const WfGraph *graph, const bool *takes_part, const char *without)
{
	List	  **edges = palloc0(sizeof(List *) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
		for (int j = 0; takes_part[i] && j < graph->states[i].ntransitions; j++)
		{
			const WfTransition *transition = &graph->states[i].transitions[j];

			if (transition->to >= 0 && takes_part[transition->to] &&
				(without == NULL || strcmp(transition->event, without) != 0))
				edges[i] = lappend_int(edges[i], transition->to);
		}

	return edges;
}

/* --------------------------------------------------------- loops that go round */

static void
check_model_loops(WfCheck *check, const WfGraph *graph, const bool *automatic)
{
	bool	   *takes_part = palloc(sizeof(bool) * graph->nstates);
	bool	   *models = palloc(sizeof(bool) * graph->nstates);
	ListCell   *cell;

	for (int i = 0; i < graph->nstates; i++)
	{
		models[i] = graph->states[i].kind == WF_ACTIVITY_MODEL;
		takes_part[i] = automatic[i] || graph->states[i].kind == WF_ACTIVITY_WAIT;
	}
	foreach(cell, wf_find_cycles(graph->nstates, edges_between(graph, takes_part, NULL), models, NULL))
	{
		int			first = linitial_int((List *) lfirst(cell));
		int			mark;

		if (!models[first])
			continue;
		mark = wf_check_enter_state(check, graph->states[first].name);
		wf_check_warning(check, "model_loop",
						 "let a person into the loop, or an \"sql\" state that counts and raises an event of its own",
						 "the loop %s calls a model each time, and nothing counts how often",
						 wf_names_of_cycle(graph, lfirst(cell)));
		wf_check_leave_state(check, mark);
	}
}

static void
check_busy_loops(WfCheck *check, const WfGraph *graph, const bool *automatic)
{
	bool	   *takes_part = palloc(sizeof(bool) * graph->nstates);
	bool	   *works = palloc(sizeof(bool) * graph->nstates);
	ListCell   *cell;

	for (int i = 0; i < graph->nstates; i++)
	{
		takes_part[i] = automatic[i] && graph->states[i].kind != WF_ACTIVITY_MODEL;
		works[i] = takes_part[i] && !wf_state_is_instant(&graph->states[i]);
	}
	foreach(cell, wf_find_cycles(graph->nstates, edges_between(graph, takes_part, NULL), works, NULL))
	{
		int			first = linitial_int((List *) lfirst(cell));
		int			mark;

		if (!works[first])
			continue;			/* an instant cycle, which is an error */
		mark = wf_check_enter_state(check, graph->states[first].name);
		wf_check_warning(check, "busy_loop",
						 "put a \"wait\" into the loop, or an \"sql\" state that counts and raises an event of its own",
						 "the loop %s never waits for anything but its own work, and nothing counts how often",
						 wf_names_of_cycle(graph, lfirst(cell)));
		wf_check_leave_state(check, mark);
	}
}

/* ------------------------------------------------------------ actions in loops */

static bool
is_action(const WfState *state)
{
	char	   *method = state->kind == WF_ACTIVITY_HTTP ?
	wf_jsonb_get_text(state->activity, "method") : NULL;

	return method != NULL && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/*
 * Whether a key selects what a state of the loop stores, so that it may be
 * another one each time.
 */
static bool
key_changes(const WfGraph *graph, const WfState *action, const int *loops)
{
	List	   *roots = wf_key_roots(wf_jsonb_get(action->activity, "key"));
	int			loop = loops[action - graph->states];
	ListCell   *cell;

	foreach(cell, roots)
	{
		if (lfirst(cell) == NULL)
			return true;		/* nobody knows */
		for (int i = 0; i < graph->nstates; i++)
			if (loops[i] == loop && graph->states[i].result_key != NULL &&
				strcmp(graph->states[i].result_key, lfirst(cell)) == 0)
				return true;
	}

	return roots == NIL;		/* literal_key says it */
}

static void
check_actions_in_loops(WfCheck *check, const WfGraph *graph)
{
	bool	   *takes_part = palloc(sizeof(bool) * graph->nstates);
	int		   *loops = palloc(sizeof(int) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
		takes_part[i] = graph->states[i].kind != WF_ACTIVITY_EXCEPTION;
	(void) wf_find_cycles(graph->nstates, edges_between(graph, takes_part, "error"), NULL, loops);
	for (int i = 0; i < graph->nstates; i++)
	{
		int			mark;

		if (loops[i] < 0 || !is_action(&graph->states[i]) ||
			key_changes(graph, &graph->states[i], loops))
			continue;
		mark = wf_check_enter_state(check, graph->states[i].name);
		wf_check_notice(check, "action_in_loop",
						"if it is another action each time, add to \"key\" what a state of the loop stores",
						"an item may come here again, with the same key");
		wf_check_leave_state(check, mark);
	}
}

void
wf_check_loops(WfCheck *check, const WfGraph *graph)
{
	bool	   *automatic = palloc(sizeof(bool) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
		automatic[i] = is_automatic(graph, &graph->states[i]);
	check_model_loops(check, graph, automatic);
	check_busy_loops(check, graph, automatic);
	check_actions_in_loops(check, graph);
}
