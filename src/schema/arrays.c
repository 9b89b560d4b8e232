/*
 * arrays.c
 *	  Keywords about arrays and their elements.
 *
 * prefixItems and items are one rule, as the second depends on the first; in
 * older drafts they are called items, if it is a list, and additionalItems.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "schema/schema_internal.h"

typedef struct Elements
{
	int			n_first;
	WfNode	  **first;			/* of each of the first elements */
	WfNode	   *rest;			/* or NULL */
} Elements;

typedef struct Contains
{
	WfNode	   *node;
	int64		least;
	int64		most;
	WfRule		least_rule;		/* for refusals */
	WfRule		most_rule;
	bool		is_seen;		/* elements that it allows are evaluated */
} Contains;

/* -------------------------------------------------------------------- unique */

static int
compare_elements(const void *left, const void *right)
{
	return wf_json_compare(left, right);
}

static bool
judge_unique_items(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(instance->value, &count);

	qsort(elements, count, sizeof(JsonbValue), compare_elements);
	for (int i = 1; i < count; i++)
	{
		if (!wf_json_equals(&elements[i - 1], &elements[i]))
			continue;
		return judge->wants_errors ?
			wf_judge_refuse(judge, rule, instance, "has %s twice", wf_json_text(&elements[i])) :
			false;
	}

	return true;
}

void
wf_compile_unique_items(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	if (value->type != jbvBool)
		wf_compile_fault(compile, "has to be true or false");
	else if (value->val.boolean)
		wf_compile_rule(compile, node, WF_JSON_ARRAY, judge_unique_items);
}

/* ------------------------------------------------------------------ elements */

static bool
judge_elements(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Elements *elements = rule->more;
	WfWalk		walk;
	bool		is_allowed = true;

	wf_walk_begin(&walk, instance);
	while ((is_allowed || judge->wants_errors) && wf_walk_next(&walk))
	{
		const WfNode *node = walk.index < elements->n_first ?
		elements->first[walk.index] : elements->rest;

		if (node == NULL)
			break;
		is_allowed &= wf_judge_inner(judge, node, &walk.value, &walk.place);
		if (instance->seen != NULL)
			instance->seen->marks[walk.index] = true;
	}

	return is_allowed;
}

static Elements *
elements_of(WfCompile *compile, WfNode *node)
{
	if (node->elements == NULL)
	{
		node->elements = palloc0(sizeof(Elements));
		wf_compile_rule(compile, node, WF_JSON_ARRAY, judge_elements)->more = node->elements;
	}

	return node->elements;
}

void
wf_compile_prefix_items(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Elements   *elements = elements_of(compile, node);
	JsonbValue *schemas = wf_jsonb_elements(value, &elements->n_first);

	if (!wf_jsonb_value_is_array(value))
		wf_compile_fault(compile, "has to be an array of schemas");
	elements->first = palloc0(sizeof(WfNode *) * Max(elements->n_first, 1));
	for (int i = 0; i < elements->n_first; i++)
		elements->first[i] = wf_compile_element(compile, i, &schemas[i]);
}

void
wf_compile_items(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	if (!wf_jsonb_value_is_array(value))
		elements_of(compile, node)->rest = wf_compile_node(compile, value);
	else if (compile->dialect == WF_DRAFT_2020_12)
		wf_compile_fault(compile, "has to be a schema; a list of schemas is called prefixItems");
	else
		wf_compile_prefix_items(compile, node, schema, value);
}

void
wf_compile_additional_items(WfCompile *compile, WfNode *node, JsonbValue *schema,
							JsonbValue *value)
{
	JsonbValue *items = wf_jsonb_value_get(schema, "items");
	WfNode	   *rest = wf_compile_node(compile, value);

	if (compile->dialect == WF_DRAFT_2020_12)
		wf_compile_fault(compile, "is called items, behind prefixItems, in draft 2020-12");
	else if (items != NULL && wf_jsonb_value_is_array(items))
		elements_of(compile, node)->rest = rest;
}

/* ------------------------------------------------------------------ contains */

static bool
judge_contains(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Contains *contains = rule->more;
	bool		wants_errors = judge->wants_errors;
	bool		asks_seen = instance->seen != NULL && contains->is_seen;
	WfWalk		walk;
	int64		count = 0;

	judge->wants_errors = false;
	wf_walk_begin(&walk, instance);
	while (wf_walk_next(&walk))
	{
		if (!wf_judge_inner(judge, contains->node, &walk.value, &walk.place))
			continue;
		count++;
		if (asks_seen)
			instance->seen->marks[walk.index] = true;
	}
	judge->wants_errors = wants_errors;

	if (count < contains->least)
		return wf_judge_refuse(judge, &contains->least_rule, instance,
							   "contains " INT64_FORMAT " that fit, fewer than " INT64_FORMAT,
							   count, contains->least);
	if (count > contains->most)
		return wf_judge_refuse(judge, &contains->most_rule, instance,
							   "contains " INT64_FORMAT " that fit, more than " INT64_FORMAT,
							   count, contains->most);

	return true;
}

/*
 * Reads a bound that stands beside contains; one that is no count is a fault
 * of its own keyword.
 */
static void
read_bound(WfCompile *compile, JsonbValue *schema, const char *keyword, int64 *bound, WfRule *rule)
{
	JsonbValue *value = wf_jsonb_value_get(schema, keyword);
	const char *path = compile->path.data;

	*rule = (WfRule)
	{
		.keyword = compile->keyword,.path = pstrdup(path)
	};
	if (value == NULL || !wf_compile_is_count(value, bound))
		return;
	rule->keyword = keyword;
	rule->path = psprintf("%.*s/%s", (int) (strrchr(path, '/') - path), path, keyword);
}

void
wf_compile_contains(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Contains   *contains = palloc0(sizeof(Contains));

	contains->node = wf_compile_node(compile, value);
	contains->least = 1;
	contains->most = PG_INT64_MAX;
	contains->is_seen = compile->dialect == WF_DRAFT_2020_12;
	read_bound(compile, schema, "minContains", &contains->least, &contains->least_rule);
	read_bound(compile, schema, "maxContains", &contains->most, &contains->most_rule);
	wf_compile_rule(compile, node, WF_JSON_ARRAY, judge_contains)->more = contains;
}

/*
 * minContains and maxContains: read by contains, and nothing without it.
 */
void
wf_compile_min_contains(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	int64		count;

	if (!wf_compile_is_count(value, &count))
		wf_compile_fault(compile, "has to be a whole number from 0 on");
}

/* --------------------------------------------------------------- what is left */

static bool
judge_unevaluated_items(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	WfWalk		walk;
	bool		is_allowed = true;

	wf_walk_begin(&walk, instance);
	while ((is_allowed || judge->wants_errors) && wf_walk_next(&walk))
	{
		if (!instance->seen->marks[walk.index])
			is_allowed &= wf_judge_inner(judge, rule->node, &walk.value, &walk.place);
		instance->seen->marks[walk.index] = true;
	}

	return is_allowed;
}

void
wf_compile_unevaluated_items(WfCompile *compile, WfNode *node, JsonbValue *schema,
							 JsonbValue *value)
{
	WfNode	   *rest = wf_compile_node(compile, value);

	node->asks_seen = true;
	wf_compile_rule(compile, node, WF_JSON_ARRAY, judge_unevaluated_items)->node = rest;
}
