/*
 * values.c
 *	  Keywords about any value, about numbers and about strings.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "schema/schema_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* --------------------------------------------------------------------- types */

static const struct
{
	const char *name;
	int			type;
}			type_names[] =

{
	{"null", WF_JSON_NULL},
	{"boolean", WF_JSON_BOOLEAN},
	{"object", WF_JSON_OBJECT},
	{"array", WF_JSON_ARRAY},
	{"string", WF_JSON_STRING},
	{"number", WF_JSON_NUMBER},
	{"integer", WF_JSON_INTEGER},
};

static char *
names_of(int types)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(type_names); i++)
		if (types & type_names[i].type)
			appendStringInfo(&names, "%s%s", names.len > 0 ? " or " : "", type_names[i].name);

	return names.data;
}

static bool
judge_type(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	if (rule->types_wanted & instance->type)
		return true;
	if (instance->type == WF_JSON_NUMBER && (rule->types_wanted & WF_JSON_INTEGER) &&
		wf_json_is_integer(instance->value))
		return true;

	return judge->wants_errors ?
		wf_judge_refuse(judge, rule, instance, "is of type %s, not %s",
						names_of(instance->type), names_of(rule->types_wanted)) : false;
}

static int
type_named(WfCompile *compile, const JsonbValue *value)
{
	for (int i = 0; i < lengthof(type_names) && value->type == jbvString; i++)
		if (value->val.string.len == strlen(type_names[i].name) &&
			memcmp(value->val.string.val, type_names[i].name, value->val.string.len) == 0)
			return type_names[i].type;
	wf_compile_fault(compile, "%s is not a type; a type is %s", wf_json_text(value), names_of(~0));

	return 0;
}

void
wf_compile_type(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	int			types = 0;

	if (wf_jsonb_value_is_array(value))
	{
		int			count;
		JsonbValue *names = wf_jsonb_elements(value, &count);

		if (count == 0)
			wf_compile_fault(compile, "has to name at least one type");
		for (int i = 0; i < count; i++)
			types |= type_named(compile, &names[i]);
	}
	else
		types = type_named(compile, value);
	wf_compile_rule(compile, node, WF_JSON_ANY, judge_type)->types_wanted = types;
}

/* ------------------------------------------------------------- enum and const */

typedef struct Choice
{
	JsonbValue *values;			/* sorted */
	int			count;
	const JsonbValue *all;		/* as it was written */
} Choice;

static int
compare_values(const void *left, const void *right)
{
	return wf_json_compare(left, right);
}

static bool
judge_enum(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Choice *choice = rule->more;

	if (bsearch(instance->value, choice->values, choice->count, sizeof(JsonbValue),
				compare_values) != NULL)
		return true;

	return judge->wants_errors ?
		wf_judge_refuse(judge, rule, instance, "is not one of %s", wf_json_text(choice->all)) :
		false;
}

void
wf_compile_enum(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Choice	   *choice = palloc0(sizeof(Choice));

	if (!wf_jsonb_value_is_array(value))
	{
		wf_compile_fault(compile, "has to be an array");
		return;
	}
	choice->values = wf_jsonb_elements(value, &choice->count);
	choice->all = memcpy(palloc(sizeof(JsonbValue)), value, sizeof(JsonbValue));
	qsort(choice->values, choice->count, sizeof(JsonbValue), compare_values);
	wf_compile_rule(compile, node, WF_JSON_ANY, judge_enum)->more = choice;
}

static bool
judge_const(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	if (wf_json_equals(rule->value, instance->value))
		return true;

	return judge->wants_errors ?
		wf_judge_refuse(judge, rule, instance, "is not %s", wf_json_text(rule->value)) : false;
}

/*
 * A rule with a value as its operand.
 */
static void
compile_value(WfCompile *compile, WfNode *node, int types, WfRuleJudge judge, JsonbValue *value)
{
	wf_compile_rule(compile, node, types, judge)->value =
		memcpy(palloc(sizeof(JsonbValue)), value, sizeof(JsonbValue));
}

void
wf_compile_const(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_value(compile, node, WF_JSON_ANY, judge_const, value);
}

/* ------------------------------------------------------------------- numbers */

static int
sign_of(Datum number)
{
	Datum		zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, number, zero));
}

static void
compile_number(WfCompile *compile, WfNode *node, WfRuleJudge judge, JsonbValue *value)
{
	if (value->type == jbvNumeric)
		compile_value(compile, node, WF_JSON_NUMBER, judge, value);
	else
		wf_compile_fault(compile, "has to be a number");
}

static bool
refuse_number(WfJudge *judge, const WfRule *rule, const WfInstance *instance, const char *relation)
{
	return judge->wants_errors ?
		wf_judge_refuse(judge, rule, instance, "%s is %s %s", wf_json_text(instance->value),
						relation, wf_json_text(rule->value)) : false;
}

static bool
judge_minimum(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	return wf_json_compare(instance->value, rule->value) >= 0 ||
		refuse_number(judge, rule, instance, "less than");
}

static bool
judge_maximum(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	return wf_json_compare(instance->value, rule->value) <= 0 ||
		refuse_number(judge, rule, instance, "greater than");
}

static bool
judge_exclusive_minimum(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	return wf_json_compare(instance->value, rule->value) > 0 ||
		refuse_number(judge, rule, instance, "not greater than");
}

static bool
judge_exclusive_maximum(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	return wf_json_compare(instance->value, rule->value) < 0 ||
		refuse_number(judge, rule, instance, "not less than");
}

static bool
judge_multiple_of(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	Datum		rest = DirectFunctionCall2(numeric_mod,
										   NumericGetDatum(instance->value->val.numeric),
										   NumericGetDatum(rule->value->val.numeric));

	return sign_of(rest) == 0 ||
		refuse_number(judge, rule, instance, "not a multiple of");
}

void
wf_compile_minimum(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_number(compile, node, judge_minimum, value);
}

void
wf_compile_maximum(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_number(compile, node, judge_maximum, value);
}

void
wf_compile_exclusive_minimum(WfCompile *compile, WfNode *node, JsonbValue *schema,
							 JsonbValue *value)
{
	compile_number(compile, node, judge_exclusive_minimum, value);
}

void
wf_compile_exclusive_maximum(WfCompile *compile, WfNode *node, JsonbValue *schema,
							 JsonbValue *value)
{
	compile_number(compile, node, judge_exclusive_maximum, value);
}

void
wf_compile_multiple_of(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	if (value->type == jbvNumeric && sign_of(NumericGetDatum(value->val.numeric)) > 0)
		compile_value(compile, node, WF_JSON_NUMBER, judge_multiple_of, value);
	else
		wf_compile_fault(compile, "has to be a number greater than 0");
}

/* ------------------------------------------------------------------- pattern */

typedef struct Pattern
{
	text	   *compiled;
	const char *written;
} Pattern;

static bool
judge_pattern(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Pattern *pattern = rule->more;
	const JsonbValue *string = instance->value;

	return wf_pattern_matches(pattern->compiled, string->val.string.val, string->val.string.len) ||
		wf_judge_refuse(judge, rule, instance, "does not match %s", pattern->written);
}

void
wf_compile_pattern(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Pattern    *pattern = palloc0(sizeof(Pattern));
	char	   *problem;

	if (value->type != jbvString)
	{
		wf_compile_fault(compile, "has to be a string");
		return;
	}
	pattern->written = wf_jsonb_value_text(value);
	pattern->compiled = wf_pattern_compile(pattern->written, &problem);
	if (pattern->compiled == NULL)
		wf_compile_fault(compile, "%s", problem);
	else
		wf_compile_rule(compile, node, WF_JSON_STRING, judge_pattern)->more = pattern;
}
