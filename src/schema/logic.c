/*
 * logic.c
 *	  Keywords that apply other schemas to the same value.
 *
 * What a branch has seen counts only when the branch allows the value.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "schema/schema_internal.h"

typedef struct Branches
{
	int			count;
	WfNode	  **nodes;
} Branches;

typedef struct Condition
{
	WfNode	   *if_node;
	WfNode	   *then_node;		/* or NULL */
	WfNode	   *else_node;		/* or NULL */
} Condition;

/*
 * Whether a branch allows the value; reports nothing.
 */
static bool
allows(WfJudge *judge, const WfNode *node, const WfInstance *instance)
{
	bool		wants_errors = judge->wants_errors;
	WfInstance	branch = *instance;
	WfSeen		seen;
	bool		is_allowed;

	if (instance->seen != NULL)
	{
		wf_seen_init(&seen, instance);
		branch.seen = &seen;
	}
	judge->wants_errors = false;
	is_allowed = wf_judge_node(judge, node, &branch);
	judge->wants_errors = wants_errors;
	if (is_allowed && instance->seen != NULL)
		wf_seen_add(instance->seen, &seen);

	return is_allowed;
}

/* ----------------------------------------------------------------- references */

static bool
judge_ref(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	return wf_judge_node(judge, rule->node, instance);
}

void
wf_compile_ref(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	WfNode	   *target;

	if (value->type != jbvString)
	{
		wf_compile_fault(compile, "has to be a string");
		return;
	}
	target = wf_reference_node(compile, wf_jsonb_value_text(value));
	if (target == NULL)
		return;
	node->in_place = lappend(node->in_place, target);
	wf_compile_rule(compile, node, WF_JSON_ANY, judge_ref)->node = target;
}

/*
 * What it leads to depends on the resources that a value has been judged by on
 * the way here.  Where the whole document is one, it is a "$ref".
 */
void
wf_compile_dynamic_ref(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	if (compile->dialect != WF_DRAFT_2020_12)
		wf_compile_fault(compile, "\"$dynamicRef\" is not supported in this dialect: draft 2020-12 has brought it");
	else if (!wf_references_are_of_one_resource(compile))
		wf_compile_fault(compile, "\"$dynamicRef\" is not supported where a part of the schema has an \"$id\"");
	else
		wf_compile_ref(compile, node, schema, value);
}

void
wf_compile_defs(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	int			count;
	WfMember   *members = wf_jsonb_members(value, &count);

	if (!wf_jsonb_value_is_object(value))
		wf_compile_fault(compile, "has to be an object of schemas");
	for (int i = 0; i < count; i++)
		wf_compile_member(compile, members[i].key, &members[i].value);
}

/* ------------------------------------------------------------------- branches */

/*
 * Whether a branch has less against a value than another one, or goes deeper
 * before it has something against it.
 */
static bool
is_nearer(List *errors, List *others)
{
	const WfSchemaError *first = linitial(errors);
	const WfSchemaError *other = others == NIL ? NULL : linitial(others);

	if (other == NULL || list_length(errors) != list_length(others))
		return other == NULL || list_length(errors) < list_length(others);

	return strlen(first->path) > strlen(other->path);
}

/*
 * Says which of the branches was nearest, by what it has against the value.
 */
static bool
refuse_branches(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Branches *branches = rule->more;
	WfJudge		branch = {.wants_errors = true,.steps = judge->steps};
	List	   *nearest = NIL;
	const WfSchemaError *first;

	if (!judge->wants_errors)
		return false;
	for (int i = 0; i < branches->count; i++)
	{
		WfInstance	unseen = *instance;

		branch.errors = NIL;
		unseen.seen = NULL;
		wf_judge_node(&branch, branches->nodes[i], &unseen);
		if (is_nearer(branch.errors, nearest))
			nearest = branch.errors;
	}
	judge->steps = branch.steps;
	first = linitial(nearest);

	return wf_judge_refuse(judge, rule, instance, "fits none of %d schemas; nearest is %s: %s%s%s",
						   branches->count, first->schema_path, first->path,
						   *first->path == '\0' ? "" : " ", first->message);
}

static bool
judge_all_of(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Branches *branches = rule->more;
	bool		is_allowed = true;

	for (int i = 0; i < branches->count && (is_allowed || judge->wants_errors); i++)
		is_allowed &= wf_judge_node(judge, branches->nodes[i], instance);

	return is_allowed;
}

static bool
judge_any_of(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Branches *branches = rule->more;
	bool		is_allowed = false;

	for (int i = 0; i < branches->count && (!is_allowed || instance->seen != NULL); i++)
		is_allowed |= allows(judge, branches->nodes[i], instance);

	return is_allowed || refuse_branches(judge, rule, instance);
}

static bool
judge_one_of(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Branches *branches = rule->more;
	int			first = -1;

	for (int i = 0; i < branches->count; i++)
	{
		if (!allows(judge, branches->nodes[i], instance))
			continue;
		if (first >= 0)
			return wf_judge_refuse(judge, rule, instance,
								   "fits more than one schema: %s and %s",
								   branches->nodes[first]->path, branches->nodes[i]->path);
		first = i;
	}

	return first >= 0 || refuse_branches(judge, rule, instance);
}

static void
compile_branches(WfCompile *compile, WfNode *node, WfRuleJudge judge, JsonbValue *value)
{
	Branches   *branches = palloc0(sizeof(Branches));
	JsonbValue *schemas = wf_jsonb_elements(value, &branches->count);

	if (branches->count == 0)
	{
		wf_compile_fault(compile, "has to be an array of at least one schema");
		return;
	}
	branches->nodes = palloc0(sizeof(WfNode *) * branches->count);
	for (int i = 0; i < branches->count; i++)
	{
		branches->nodes[i] = wf_compile_element(compile, i, &schemas[i]);
		node->in_place = lappend(node->in_place, branches->nodes[i]);
	}
	wf_compile_rule(compile, node, WF_JSON_ANY, judge)->more = branches;
}

void
wf_compile_all_of(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_branches(compile, node, judge_all_of, value);
}

void
wf_compile_any_of(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_branches(compile, node, judge_any_of, value);
}

void
wf_compile_one_of(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_branches(compile, node, judge_one_of, value);
}

/* ------------------------------------------------------------ not, if, then, else */

static bool
judge_not(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	WfInstance	unseen = *instance;

	unseen.seen = NULL;

	return !allows(judge, rule->node, &unseen) ||
		wf_judge_refuse(judge, rule, instance, "fits %s, which it must not", rule->node->path);
}

void
wf_compile_not(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	WfNode	   *refused = wf_compile_node(compile, value);

	node->in_place = lappend(node->in_place, refused);
	wf_compile_rule(compile, node, WF_JSON_ANY, judge_not)->node = refused;
}

static bool
judge_if(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Condition *condition = rule->more;
	const WfNode *next = allows(judge, condition->if_node, instance) ?
	condition->then_node : condition->else_node;

	return next == NULL || wf_judge_node(judge, next, instance);
}

static WfNode *
compile_arm(WfCompile *compile, WfNode *node, JsonbValue *schema, const char *key)
{
	JsonbValue *value = wf_jsonb_value_get(schema, key);
	WfNode	   *arm = value == NULL ? NULL : wf_compile_sibling(compile, key, value);

	if (arm != NULL)
		node->in_place = lappend(node->in_place, arm);

	return arm;
}

void
wf_compile_if(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Condition  *condition = palloc0(sizeof(Condition));

	condition->if_node = wf_compile_node(compile, value);
	node->in_place = lappend(node->in_place, condition->if_node);
	condition->then_node = compile_arm(compile, node, schema, "then");
	condition->else_node = compile_arm(compile, node, schema, "else");
	wf_compile_rule(compile, node, WF_JSON_ANY, judge_if)->more = condition;
}

/*
 * then and else: applied by if, and nothing without it.
 */
void
wf_compile_then(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	wf_compile_node(compile, value);
}
