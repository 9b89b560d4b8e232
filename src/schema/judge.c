/*
 * judge.c
 *	  The walk that judges an instance by a compiled schema.
 */
#include "postgres.h"

#include "base/format.h"
#include "miscadmin.h"
#include "schema/schema_internal.h"

/*
 * More than any honest schema takes; one of references to references that
 * double each time would run for years.
 */
#define MAX_STEPS 50000000

static void
append_place(StringInfo pointer, const WfPlace *place)
{
	if (place == NULL)
		return;
	append_place(pointer, place->outer);
	if (place->key == NULL)
		wf_pointer_descend_element(pointer, place->index);
	else
		wf_pointer_descend(pointer, place->key, place->key_length);
}

/*
 * Reports why an instance is refused, where that is wanted; returns false.
 */
bool
wf_judge_refuse(WfJudge *judge, const WfRule *rule, const WfInstance *instance,
				const char *message,...)
{
	WfSchemaError *error;
	StringInfoData path;
	va_list		args;

	if (!judge->wants_errors)
		return false;
	initStringInfo(&path);
	append_place(&path, instance->place);

	error = palloc(sizeof(WfSchemaError));
	error->path = path.data;
	error->schema_path = rule->path;
	error->keyword = rule->keyword;
	va_start(args, message);
	error->message = wf_format_va(message, args);
	va_end(args);

	judge->errors = lappend(judge->errors, error);

	return false;
}

void
wf_seen_init(WfSeen *seen, const WfInstance *instance)
{
	seen->count = instance->type & (WF_JSON_OBJECT | WF_JSON_ARRAY) ?
		JsonContainerSize(instance->value->val.binary.data) : 0;
	seen->marks = seen->count > 0 ? palloc0(sizeof(bool) * seen->count) : NULL;
}

void
wf_seen_add(WfSeen *seen, const WfSeen *more)
{
	for (int i = 0; i < seen->count; i++)
		seen->marks[i] |= more->marks[i];
}

static void
take_step(WfJudge *judge)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (++judge->steps > MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("validation by a JSON Schema takes too many steps"),
				 errdetail("More than %d schemas were applied to one value and what is in it.", MAX_STEPS),
				 errhint("Look for a schema that refers several times to one that does the same.")));
}

static bool
apply_rules(WfJudge *judge, const WfNode *node, const WfInstance *instance)
{
	bool		is_allowed = true;

	for (int i = 0; i < node->n_rules; i++)
	{
		const WfRule *rule = &node->rules[i];

		if (!(rule->types & instance->type))
			continue;
		if (rule->judge(judge, rule, instance))
			continue;
		is_allowed = false;
		if (!judge->wants_errors)
			break;
	}

	return is_allowed;
}

/*
 * What is unevaluated is only so within the schema that asks for it; those
 * around it take over what it has seen.
 */
bool
wf_judge_node(WfJudge *judge, const WfNode *node, const WfInstance *instance)
{
	take_step(judge);
	if (node->is_false)
	{
		WfRule		rule = {.keyword = "false",.path = node->path};

		return wf_judge_refuse(judge, &rule, instance, "nothing is allowed here");
	}
	if (node->asks_seen)
	{
		WfInstance	own = *instance;
		WfSeen		seen;
		bool		is_allowed;

		wf_seen_init(&seen, instance);
		own.seen = &seen;
		is_allowed = apply_rules(judge, node, &own);
		if (is_allowed && instance->seen != NULL)
			wf_seen_add(instance->seen, &seen);
		return is_allowed;
	}

	return apply_rules(judge, node, instance);
}

/*
 * Judges a member or an element.
 */
bool
wf_judge_inner(WfJudge *judge, const WfNode *node, const JsonbValue *value, const WfPlace *place)
{
	WfInstance	inner = {
		.value = value,.type = wf_json_type(value),.place = place
	};

	return wf_judge_node(judge, node, &inner);
}
