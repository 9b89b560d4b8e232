/*
 * check_model.c
 *	  Whether what a model answers is checked by a schema before it is used up.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

/*
 * Which states validate what is stored under a key, or a part of it, or all.
 */
static bool *
validators_of(const WfGraph *graph, char *const *validated, const char *key)
{
	bool	   *found = palloc0(sizeof(bool) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
		found[i] = validated[i] != NULL &&
			(validated[i][0] == '\0' || strcmp(validated[i], key) == 0);

	return found;
}

/*
 * What each state validates: a key, "" for all of the data, NULL for nothing.
 */
static char **
validated_keys(const WfGraph *graph)
{
	char	  **keys = palloc0(sizeof(char *) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
	{
		char	   *value = graph->states[i].kind == WF_ACTIVITY_VALIDATE ?
		wf_jsonb_get_text(graph->states[i].activity, "value") : NULL;

		if (value != NULL)
			keys[i] = strcmp(value, "$") == 0 ? "" : wf_selector_root(value);
	}

	return keys;
}

bool *
wf_find_unchecked_models(const WfGraph *graph)
{
	char	  **validated = validated_keys(graph);
	WfWaysBack *ways = wf_ways_back(graph);
	bool	   *unchecked = palloc0(sizeof(bool) * graph->nstates);

	for (int i = 0; i < graph->nstates; i++)
	{
		bool	   *validators;
		bool	   *before;

		if (graph->states[i].kind != WF_ACTIVITY_MODEL ||
			wf_jsonb_get(graph->states[i].activity, "schema") != NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		validators = validators_of(graph, validated, graph->states[i].result_key);
		before = wf_graph_leading_to(ways, validators);
		unchecked[i] = !before[i];
		pfree(validators);
		pfree(before);
	}

	return unchecked;
}
