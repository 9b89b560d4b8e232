/*
 * shape.c
 *	  Objects of a document whose members are known, and the checks of values
 *	  that several of them have.
 *
 * The language is a set of tables of fields; this file reads them.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "definition/template.h"
#include "miscadmin.h"
#include "schema/schema.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

static const struct
{
	int			type;
	const char *name;
}			type_names[] = {
	{WF_TEXT, "a text"},
	{WF_NUMBER, "a number"},
	{WF_BOOL, "true or false"},
	{WF_OBJECT, "an object"},
	{WF_ARRAY, "an array"},
	{WF_NULL, "null"},
};

static int
type_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return WF_TEXT;
		case jbvNumeric:
			return WF_NUMBER;
		case jbvBool:
			return WF_BOOL;
		case jbvBinary:
			return wf_jsonb_value_is_object(value) ? WF_OBJECT : WF_ARRAY;
		default:
			return WF_NULL;
	}
}

static char *
names_of_types(int types)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(type_names); i++)
		if (types & type_names[i].type)
			appendStringInfo(&names, "%s%s", names.len > 0 ? " or " : "",
							 type_names[i].name);

	return names.data;
}

bool
wf_check_type(WfCheck *check, const JsonbValue *value, int types)
{
	int			type = type_of(value);

	if (!(type & types))
	{
		wf_check_error(check, "wrong_type", psprintf("write %s", names_of_types(types)), "has to be %s, is %s",
					   names_of_types(types), names_of_types(type));
		return false;
	}
	if (type == WF_TEXT && types != WF_ANY && value->val.string.len == 0)
	{
		wf_check_error(check, "empty", "write something, or leave it out", "is empty");
		return false;
	}

	return true;
}

static const WfField *
find_field(const WfField *fields, const char *name)
{
	for (const WfField *field = fields; field->name != NULL; field++)
		if (strcmp(field->name, name) == 0)
			return field;

	return NULL;
}

static void
report_unknown_key(WfCheck *check, const char *key, const WfField *fields)
{
	const char **names;
	StringInfoData list;
	char	   *nearest;
	int			n = 0;

	while (fields[n].name != NULL)
		n++;
	names = palloc(sizeof(char *) * Max(1, n));
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		names[i] = fields[i].name;
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	nearest = wf_did_you_mean(key, names, n);
	wf_check_error(check, "unknown_key",
				   nearest != NULL ? nearest : psprintf("known here: %s", list.data),
				   "unknown key");
}

void
wf_check_object(WfCheck *check, JsonbValue *object, const WfField *fields)
{
	int			count;
	WfMember   *members;

	if (!wf_check_type(check, object, WF_OBJECT))
		return;

	members = wf_jsonb_members(object, &count);
	for (int i = 0; i < count; i++)
	{
		const WfField *field = find_field(fields, members[i].key);
		int			mark = wf_check_enter(check, members[i].key);

		if (field == NULL)
			report_unknown_key(check, members[i].key, fields);
		else if (wf_check_type(check, &members[i].value, field->types) &&
				 field->check != NULL)
			field->check(check, &members[i].value);
		wf_check_leave(check, mark);
	}

	for (const WfField *field = fields; field->name != NULL; field++)
		if (field->required != NULL &&
			wf_jsonb_value_get(object, field->name) == NULL)
			wf_check_error(check, field->code != NULL ? field->code : "missing_key", field->required,
						   "\"%s\" is missing", field->name);
}

void
wf_check_interval(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);
	int64		microseconds;

	if (!wf_interval_from_text(text, &microseconds))
		wf_check_error(check, "bad_interval", "write for example \"30 seconds\"",
					   "\"%s\" is not an interval", text);
	else if (microseconds <= 0)
		wf_check_error(check, "bad_interval", "write for example \"30 seconds\"",
					   "has to be longer than zero");
}

/*
 * Figures are kept by names, several of them in one entry of an index.
 */
void
wf_check_name_length(WfCheck *check, const char *name)
{
	if (strlen(name) > WF_MAX_NAME)
		wf_check_error(check, "bad_name", "choose a shorter name", "a name has at most %d bytes, this one has %d",
					   WF_MAX_NAME, (int) strlen(name));
}

void
wf_check_name(WfCheck *check, JsonbValue *value)
{
	wf_check_name_length(check, wf_jsonb_value_text(value));
}

static bool
is_int(JsonbValue *value, int64 least, int64 most)
{
	Numeric		number = value->val.numeric;
	Datum		datum = NumericGetDatum(number);

	return !numeric_is_nan(number) &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, datum,
										 DirectFunctionCall2(numeric_trunc, datum, Int32GetDatum(0)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_ge, datum,
										 DirectFunctionCall1(int8_numeric, Int64GetDatum(least)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, datum,
										 DirectFunctionCall1(int8_numeric, Int64GetDatum(most))));
}

void
wf_check_positive_int(WfCheck *check, JsonbValue *value)
{
	if (!is_int(value, 1, PG_INT32_MAX))
		wf_check_error(check, "bad_number", "write such a number", "has to be a whole number from 1 on");
}

void
wf_check_int_within(WfCheck *check, JsonbValue *value, int least, int most)
{
	if (!is_int(value, least, most))
		wf_check_error(check, "bad_number", "write such a number", "has to be a whole number from %d to %d",
					   least, most);
}

void
wf_check_int(WfCheck *check, JsonbValue *value)
{
	if (!is_int(value, PG_INT32_MIN, PG_INT32_MAX))
		wf_check_error(check, "bad_number", "write such a number", "has to be a whole number");
}

void
wf_check_selector(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);
	char	   *problem;

	if (!wf_is_selector(text))
		wf_check_error(check, "bad_selector", "a selector begins with \"$.\", or is \"$\"",
					   "\"%s\" is not a selector", text);
	else if (!wf_selector_is_valid(text, &problem))
		wf_check_error(check, "bad_selector", "write a jsonpath such as $.a.b, or {$.a.b} inside a text", "%s", problem);
}

/*
 * Checks every string inside a value.
 */
void
wf_check_template(WfCheck *check, JsonbValue *value)
{
	int			count;
	char	   *problem;

	check_stack_depth();
	if (value->type == jbvString)
	{
		if (!wf_template_is_valid(wf_jsonb_value_text(value), &problem))
			wf_check_error(check, "bad_selector", "write a jsonpath such as $.a.b, or {$.a.b} inside a text", "%s", problem);
	}
	else if (wf_jsonb_value_is_object(value))
	{
		WfMember   *members = wf_jsonb_members(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = wf_check_enter(check, members[i].key);

			wf_check_template(check, &members[i].value);
			wf_check_leave(check, mark);
		}
	}
	else if (wf_jsonb_value_is_array(value))
	{
		JsonbValue *elements = wf_jsonb_elements(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = wf_check_enter_element(check, i);

			wf_check_template(check, &elements[i]);
			wf_check_leave(check, mark);
		}
	}
}

/*
 * An array of texts with at least one, each passed to a further check.
 */
static void
check_each_text(WfCheck *check, JsonbValue *array,
				void (*also) (WfCheck *check, JsonbValue *value))
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(array, &count);

	if (count == 0)
		wf_check_error(check, "empty", "name one, or leave it out", "has to name at least one");
	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter_element(check, i);

		if (wf_check_type(check, &elements[i], WF_TEXT) && also != NULL)
			also(check, &elements[i]);
		wf_check_leave(check, mark);
	}
}

void
wf_check_texts(WfCheck *check, JsonbValue *value)
{
	check_each_text(check, value, NULL);
}

void
wf_check_templates(WfCheck *check, JsonbValue *value)
{
	if (value->type == jbvString)
		wf_check_template(check, value);
	else
		check_each_text(check, value, wf_check_template);
}

/*
 * Goes down where a JSON pointer leads to in a value.
 */
static void
enter_pointer(WfCheck *check, JsonbValue *value, const char *pointer)
{
	StringInfoData token;

	initStringInfo(&token);
	while (*pointer == '/')
	{
		resetStringInfo(&token);
		for (pointer++; *pointer != '/' && *pointer != '\0'; pointer++)
			if (*pointer == '~' && (pointer[1] == '0' || pointer[1] == '1'))
				appendStringInfoChar(&token, *++pointer == '0' ? '~' : '/');
			else
				appendStringInfoChar(&token, *pointer);
		if (wf_jsonb_value_is_object(value))
		{
			(void) wf_check_enter(check, token.data);
			value = wf_jsonb_value_get(value, token.data);
		}
		else
		{
			int			index = atoi(token.data);

			(void) wf_check_enter_element(check, index);
			value = wf_jsonb_value_is_array(value) ?
				getIthJsonbValueFromContainer(value->val.binary.data, index) : NULL;
		}
	}
}

void
wf_check_schema(WfCheck *check, JsonbValue *value)
{
	ListCell   *cell;

	foreach(cell, wf_schema_faults(JsonbValueToJsonb(value)))
	{
		WfSchemaError *fault = lfirst(cell);
		int			mark = check->path.len;

		enter_pointer(check, value, fault->schema_path);
		wf_check_error(check, "bad_schema", "the reference of schemas lists what is known", "%s", fault->message);
		wf_check_leave(check, mark);
	}
}
