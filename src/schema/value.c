/*
 * value.c
 *	  JSON values: which are equal, and in which order they can be put.
 *
 * Equal as JSON Schema means it: 1 and 1.0 are, 1 and true are not, and the
 * order of members does not count.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "mb/pg_wchar.h"
#include "schema/schema_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static int
compare_numbers(const JsonbValue *left, const JsonbValue *right)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
											 NumericGetDatum(left->val.numeric),
											 NumericGetDatum(right->val.numeric)));
}

static int
compare_strings(const JsonbValue *left, const JsonbValue *right)
{
	if (left->val.string.len != right->val.string.len)
		return left->val.string.len < right->val.string.len ? -1 : 1;

	return memcmp(left->val.string.val, right->val.string.val, left->val.string.len);
}

/*
 * Orders values of all types; which order it is does not matter.
 */
int
wf_json_compare(const JsonbValue *left, const JsonbValue *right)
{
	if (left->type != right->type)
		return left->type < right->type ? -1 : 1;
	switch (left->type)
	{
		case jbvNumeric:
			return compare_numbers(left, right);
		case jbvString:
			return compare_strings(left, right);
		case jbvBool:
			return (int) left->val.boolean - (int) right->val.boolean;
		case jbvBinary:
			return compareJsonbContainers(left->val.binary.data, right->val.binary.data);
		default:
			return 0;
	}
}

bool
wf_json_equals(const JsonbValue *left, const JsonbValue *right)
{
	return wf_json_compare(left, right) == 0;
}

bool
wf_json_is_integer(const JsonbValue *number)
{
	Datum		value = NumericGetDatum(number->val.numeric);

	if (DatumGetInt32(DirectFunctionCall1(numeric_scale, value)) == 0)
		return true;

	return DatumGetBool(DirectFunctionCall2(numeric_eq, value,
											DirectFunctionCall2(numeric_trunc, value,
																Int32GetDatum(0))));
}

int
wf_json_type(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvBool:
			return WF_JSON_BOOLEAN;
		case jbvNumeric:
			return WF_JSON_NUMBER;
		case jbvString:
			return WF_JSON_STRING;
		case jbvBinary:
			return JsonContainerIsObject(value->val.binary.data) ? WF_JSON_OBJECT : WF_JSON_ARRAY;
		default:
			return WF_JSON_NULL;
	}
}

/*
 * As text, for a message: what is long is cut.
 */
char *
wf_json_text(const JsonbValue *value)
{
	JsonbValue	copy = *value;
	char	   *text = wf_jsonb_to_cstring(JsonbValueToJsonb(&copy));
	int			length = strlen(text);

	if (length > 400)
	{
		length = pg_mbcliplen(text, length, 400);
		return psprintf("%.*s...", length, text);
	}

	return text;
}
