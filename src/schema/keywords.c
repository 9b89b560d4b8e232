/*
 * keywords.c
 *	  The keywords of JSON Schema that are known, and what each does.
 *
 * A keyword judges only instances of the type it is about; others pass.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "mb/pg_wchar.h"
#include "schema/schema_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static const char *const type_names[] = {
	"null", "boolean", "object", "array", "number", "string", "integer",
};

/* ------------------------------------------------------------------- numbers */

static int
compare_numbers(const JsonbValue *left, const JsonbValue *right)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
											 NumericGetDatum(left->val.numeric),
											 NumericGetDatum(right->val.numeric)));
}

/*
 * 1.0 is an integer.
 */
static bool
is_integer(const JsonbValue *value)
{
	Datum		number = NumericGetDatum(value->val.numeric);

	return DatumGetBool(DirectFunctionCall2(numeric_eq, number,
											DirectFunctionCall2(numeric_trunc, number,
																Int32GetDatum(0))));
}

static char *
number_text(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(value->val.numeric)));
}

static void
check_number(WfSchemaWalk *walk, JsonbValue *value)
{
	if (value->type != jbvNumeric)
		wf_schema_report(walk, "has to be a number");
}

static void
check_count(WfSchemaWalk *walk, JsonbValue *value)
{
	JsonbValue	zero;

	if (value->type == jbvNumeric && is_integer(value))
	{
		zero.type = jbvNumeric;
		zero.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(0)));
		if (compare_numbers(value, &zero) >= 0)
			return;
	}
	wf_schema_report(walk, "has to be a whole number from 0 on");
}

static void
apply_minimum(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvNumeric && compare_numbers(instance, value) < 0)
		wf_schema_report(walk, "%s is less than %s", number_text(instance), number_text(value));
}

static void
apply_maximum(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvNumeric && compare_numbers(instance, value) > 0)
		wf_schema_report(walk, "%s is greater than %s", number_text(instance), number_text(value));
}

static void
apply_exclusive_minimum(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvNumeric && compare_numbers(instance, value) <= 0)
		wf_schema_report(walk, "%s is not greater than %s", number_text(instance), number_text(value));
}

static void
apply_exclusive_maximum(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvNumeric && compare_numbers(instance, value) >= 0)
		wf_schema_report(walk, "%s is not less than %s", number_text(instance), number_text(value));
}

/* -------------------------------------------------------------------- counts */

static JsonbValue *
number_of(int64 count)
{
	JsonbValue *number = palloc(sizeof(JsonbValue));

	number->type = jbvNumeric;
	number->val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(count)));

	return number;
}

static void
require_at_least(WfSchemaWalk *walk, int count, const JsonbValue *least, const char *what)
{
	if (compare_numbers(number_of(count), least) < 0)
		wf_schema_report(walk, "has %d %s, fewer than %s", count, what, number_text(least));
}

static void
require_at_most(WfSchemaWalk *walk, int count, const JsonbValue *most, const char *what)
{
	if (compare_numbers(number_of(count), most) > 0)
		wf_schema_report(walk, "has %d %s, more than %s", count, what, number_text(most));
}

static int
length_of(const JsonbValue *string)
{
	return pg_mbstrlen_with_len(string->val.string.val, string->val.string.len);
}

static void
apply_min_length(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvString)
		require_at_least(walk, length_of(instance), value, "characters");
}

static void
apply_max_length(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (instance->type == jbvString)
		require_at_most(walk, length_of(instance), value, "characters");
}

static void
apply_min_items(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (wf_jsonb_value_is_array(instance))
		require_at_least(walk, JsonContainerSize(instance->val.binary.data), value, "items");
}

static void
apply_max_items(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (wf_jsonb_value_is_array(instance))
		require_at_most(walk, JsonContainerSize(instance->val.binary.data), value, "items");
}

/* --------------------------------------------------------------------- types */

static const char *
type_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvBool:
			return "boolean";
		case jbvNumeric:
			return "number";
		case jbvString:
			return "string";
		case jbvBinary:
			return wf_jsonb_value_is_object(value) ? "object" : "array";
		default:
			return "null";
	}
}

static bool
is_of_type(const JsonbValue *instance, const char *type)
{
	if (strcmp(type, "integer") == 0)
		return instance->type == jbvNumeric && is_integer(instance);

	return strcmp(type, type_of(instance)) == 0;
}

static void
check_type_name(WfSchemaWalk *walk, JsonbValue *value)
{
	char	   *name = value->type == jbvString ? wf_jsonb_value_text(value) : "";

	for (int i = 0; i < lengthof(type_names); i++)
		if (strcmp(name, type_names[i]) == 0)
			return;
	wf_schema_report(walk, "\"%s\" is not a type", name);
}

static void
check_type(WfSchemaWalk *walk, JsonbValue *value)
{
	int			count;
	JsonbValue *types = wf_jsonb_elements(value, &count);

	if (!wf_jsonb_value_is_array(value))
		check_type_name(walk, value);
	else if (count == 0)
		wf_schema_report(walk, "has to name at least one type");
	for (int i = 0; i < count; i++)
		check_type_name(walk, &types[i]);
}

static void
apply_type(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	int			count = 1;
	JsonbValue *types = wf_jsonb_value_is_array(value) ?
	wf_jsonb_elements(value, &count) : value;
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < count; i++)
	{
		char	   *name = wf_jsonb_value_text(&types[i]);

		if (is_of_type(instance, name))
			return;
		appendStringInfo(&names, "%s%s", i > 0 ? " or " : "", name);
	}
	wf_schema_report(walk, "is of type %s, not %s", type_of(instance), names.data);
}

/* -------------------------------------------------------------------- values */

/*
 * Equal as JSON: 1 and 1.0 are, and the order of members does not count.
 */
static bool
are_equal(JsonbValue *left, JsonbValue *right)
{
	Jsonb	   *a = JsonbValueToJsonb(left);
	Jsonb	   *b = JsonbValueToJsonb(right);

	return compareJsonbContainers(&a->root, &b->root) == 0;
}

static char *
json_text(JsonbValue *value)
{
	return wf_jsonb_to_cstring(JsonbValueToJsonb(value));
}

static void
check_array(WfSchemaWalk *walk, JsonbValue *value)
{
	if (!wf_jsonb_value_is_array(value))
		wf_schema_report(walk, "has to be an array");
}

static void
apply_enum(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	int			count;
	JsonbValue *allowed = wf_jsonb_elements(value, &count);

	for (int i = 0; i < count; i++)
		if (are_equal(&allowed[i], instance))
			return;
	wf_schema_report(walk, "is not one of %s", json_text(value));
}

static void
apply_const(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	if (!are_equal(value, instance))
		wf_schema_report(walk, "is not %s", json_text(value));
}

/* ------------------------------------------------------------------- objects */

static void
check_required(WfSchemaWalk *walk, JsonbValue *value)
{
	int			count;
	JsonbValue *names = wf_jsonb_elements(value, &count);

	check_array(walk, value);
	for (int i = 0; i < count; i++)
		if (names[i].type != jbvString)
			wf_schema_report(walk, "has to be an array of strings");
}

static void
apply_required(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	int			count;
	JsonbValue *names = wf_jsonb_elements(value, &count);

	for (int i = 0; i < count && wf_jsonb_value_is_object(instance); i++)
	{
		char	   *name = wf_jsonb_value_text(&names[i]);

		if (wf_jsonb_value_get(instance, name) == NULL)
			wf_schema_report(walk, "\"%s\" is missing", name);
	}
}

static void
check_properties(WfSchemaWalk *walk, JsonbValue *value)
{
	int			count;
	WfMember   *members = wf_jsonb_members(value, &count);

	if (!wf_jsonb_value_is_object(value))
		wf_schema_report(walk, "has to be an object");
	for (int i = 0; i < count; i++)
	{
		int			mark = wf_schema_descend(&walk->schema_path, members[i].key);

		wf_schema_check(walk, &members[i].value);
		wf_schema_leave(&walk->schema_path, mark);
	}
}

static void
apply_properties(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	int			count;
	WfMember   *members = wf_jsonb_members(value, &count);

	for (int i = 0; i < count; i++)
	{
		JsonbValue *property = wf_jsonb_value_get(instance, members[i].key);
		int			schema_mark = wf_schema_descend(&walk->schema_path, members[i].key);
		int			mark = wf_schema_descend(&walk->path, members[i].key);

		if (property != NULL)
			wf_schema_apply(walk, &members[i].value, property);
		wf_schema_leave(&walk->path, mark);
		wf_schema_leave(&walk->schema_path, schema_mark);
	}
}

static void
apply_additional_properties(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	JsonbValue *properties = wf_jsonb_value_get(schema, "properties");
	int			count;
	WfMember   *members = wf_jsonb_members(instance, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_schema_descend(&walk->path, members[i].key);

		if (wf_jsonb_value_get(properties, members[i].key) != NULL)
			 /* judged by "properties" */ ;
		else if (value->type == jbvBool && !value->val.boolean)
			wf_schema_report(walk, "\"%s\" is not allowed", members[i].key);
		else
			wf_schema_apply(walk, value, &members[i].value);
		wf_schema_leave(&walk->path, mark);
	}
}

/* -------------------------------------------------------------------- arrays */

static void
apply_items(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *value, JsonbValue *instance)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(instance, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_schema_descend_element(&walk->path, i);

		wf_schema_apply(walk, value, &elements[i]);
		wf_schema_leave(&walk->path, mark);
	}
}

/*
 * Another dialect may give the same keywords another meaning.
 */
static void
check_dialect(WfSchemaWalk *walk, JsonbValue *value)
{
	char	   *uri = value->type == jbvString ? wf_jsonb_value_text(value) : "";

	if (strncmp(uri, "https://json-schema.org/", strlen("https://json-schema.org/")) != 0 &&
		strncmp(uri, "http://json-schema.org/", strlen("http://json-schema.org/")) != 0)
		wf_schema_report(walk, "\"%s\" is not a dialect that is supported", uri);
}

const WfSchemaKeyword wf_schema_keywords[] = {
	{"type", check_type, apply_type},
	{"enum", check_array, apply_enum},
	{"const", NULL, apply_const},
	{"minimum", check_number, apply_minimum},
	{"maximum", check_number, apply_maximum},
	{"exclusiveMinimum", check_number, apply_exclusive_minimum},
	{"exclusiveMaximum", check_number, apply_exclusive_maximum},
	{"minLength", check_count, apply_min_length},
	{"maxLength", check_count, apply_max_length},
	{"minItems", check_count, apply_min_items},
	{"maxItems", check_count, apply_max_items},
	{"required", check_required, apply_required},
	{"properties", check_properties, apply_properties},
	{"additionalProperties", wf_schema_check, apply_additional_properties},
	{"items", wf_schema_check, apply_items},
	{"title", NULL, NULL},
	{"description", NULL, NULL},
	{"default", NULL, NULL},
	{"examples", NULL, NULL},
	{"format", NULL, NULL},
	{"deprecated", NULL, NULL},
	{"readOnly", NULL, NULL},
	{"writeOnly", NULL, NULL},
	{"$schema", check_dialect, NULL},
	{"$id", NULL, NULL},
	{"$comment", NULL, NULL},
	{NULL}
};
