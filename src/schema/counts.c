/*
 * counts.c
 *	  Keywords about how many characters, elements or members there are.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "schema/schema_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/*
 * Whether a value is a whole number from 0 on.  One that nothing reaches is cut.
 */
bool
wf_compile_is_count(const JsonbValue *value, int64 *count)
{
	Datum		least = DirectFunctionCall1(int4_numeric, Int32GetDatum(-1));
	Datum		most = DirectFunctionCall1(int4_numeric, Int32GetDatum(PG_INT32_MAX));
	Datum		number;
	int64		whole;

	if (value->type != jbvNumeric || !wf_json_is_integer(value))
		return false;
	number = DirectFunctionCall2(numeric_larger, NumericGetDatum(value->val.numeric), least);
	number = DirectFunctionCall2(numeric_smaller, number, most);
	whole = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
	if (whole >= 0)
		*count = whole;

	return whole >= 0;
}

static int
size_of(const WfInstance *instance, const char **unit)
{
	const JsonbValue *value = instance->value;

	switch (instance->type)
	{
		case WF_JSON_STRING:
			*unit = "characters";
			return pg_mbstrlen_with_len(value->val.string.val, value->val.string.len);
		case WF_JSON_ARRAY:
			*unit = "items";
			return JsonContainerSize(value->val.binary.data);
		default:
			*unit = "members";
			return JsonContainerSize(value->val.binary.data);
	}
}

static bool
judge_least(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const char *unit;
	int			size = size_of(instance, &unit);

	return size >= rule->count ||
		wf_judge_refuse(judge, rule, instance, "has %d %s, fewer than " INT64_FORMAT,
						size, unit, rule->count);
}

static bool
judge_most(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const char *unit;
	int			size = size_of(instance, &unit);

	return size <= rule->count ||
		wf_judge_refuse(judge, rule, instance, "has %d %s, more than " INT64_FORMAT,
						size, unit, rule->count);
}

static void
compile_count(WfCompile *compile, WfNode *node, int types, WfRuleJudge judge, JsonbValue *value)
{
	int64		count;

	if (wf_compile_is_count(value, &count))
		wf_compile_rule(compile, node, types, judge)->count = count;
	else
		wf_compile_fault(compile, "has to be a whole number from 0 on");
}

void
wf_compile_min_length(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_STRING, judge_least, value);
}

void
wf_compile_max_length(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_STRING, judge_most, value);
}

void
wf_compile_min_items(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_ARRAY, judge_least, value);
}

void
wf_compile_max_items(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_ARRAY, judge_most, value);
}

void
wf_compile_min_properties(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_OBJECT, judge_least, value);
}

void
wf_compile_max_properties(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_count(compile, node, WF_JSON_OBJECT, judge_most, value);
}
