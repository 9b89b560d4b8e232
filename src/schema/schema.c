/*
 * schema.c
 *	  JSON Schema validation over jsonb: the walk.
 *
 * A schema is a boolean or an object of keywords; the table of keywords
 * (keywords.c) says what each does.  A keyword that is not in the table makes
 * a schema unusable: a verdict that ignored it could be wrong.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "schema/schema_internal.h"
#include "utils/builtins.h"

/* ------------------------------------------------------------------ pointers */

/*
 * Appends a reference token to a JSON pointer ("~" and "/" are escaped).
 */
int
wf_schema_descend(StringInfo pointer, const char *key)
{
	int			mark = pointer->len;

	appendStringInfoChar(pointer, '/');
	for (const char *p = key; *p != '\0'; p++)
	{
		if (*p == '~')
			appendStringInfoString(pointer, "~0");
		else if (*p == '/')
			appendStringInfoString(pointer, "~1");
		else
			appendStringInfoChar(pointer, *p);
	}

	return mark;
}

int
wf_schema_descend_element(StringInfo pointer, int index)
{
	int			mark = pointer->len;

	appendStringInfo(pointer, "/%d", index);

	return mark;
}

void
wf_schema_leave(StringInfo pointer, int mark)
{
	pointer->len = mark;
	pointer->data[mark] = '\0';
}

void
wf_schema_report(WfSchemaWalk *walk, const char *message,...)
{
	WfSchemaError *error = palloc(sizeof(WfSchemaError));
	StringInfoData text;
	int			needed;

	initStringInfo(&text);
	do
	{
		va_list		args;

		va_start(args, message);
		needed = appendStringInfoVA(&text, message, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&text, needed);
	} while (needed > 0);

	error->path = pstrdup(walk->path.data);
	error->schema_path = pstrdup(walk->schema_path.data);
	error->keyword = walk->keyword;
	error->message = text.data;

	walk->errors = lappend(walk->errors, error);
}

/* ---------------------------------------------------------------------- walk */

static const WfSchemaKeyword *
find_keyword(const char *name)
{
	for (const WfSchemaKeyword *keyword = wf_schema_keywords; keyword->name != NULL; keyword++)
		if (strcmp(keyword->name, name) == 0)
			return keyword;

	return NULL;
}

/*
 * Checks that a schema is one, and one that we can judge by.
 */
void
wf_schema_check(WfSchemaWalk *walk, JsonbValue *schema)
{
	int			count;
	WfMember   *members;

	check_stack_depth();
	if (schema->type == jbvBool)
		return;
	if (!wf_jsonb_value_is_object(schema))
	{
		wf_schema_report(walk, "a schema has to be an object, true or false");
		return;
	}

	members = wf_jsonb_members(schema, &count);
	for (int i = 0; i < count; i++)
	{
		const WfSchemaKeyword *keyword = find_keyword(members[i].key);
		int			mark = wf_schema_descend(&walk->schema_path, members[i].key);

		walk->keyword = members[i].key;
		if (keyword == NULL)
			wf_schema_report(walk, "keyword \"%s\" is not supported", members[i].key);
		else if (keyword->check != NULL)
			keyword->check(walk, &members[i].value);
		wf_schema_leave(&walk->schema_path, mark);
	}
}

/*
 * Judges an instance by a schema that was checked.
 */
void
wf_schema_apply(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *instance)
{
	int			count;
	WfMember   *members = wf_jsonb_members(schema, &count);

	check_stack_depth();
	if (schema->type == jbvBool && !schema->val.boolean)
	{
		walk->keyword = "false";
		wf_schema_report(walk, "nothing is allowed here");
	}
	for (int i = 0; i < count; i++)
	{
		const WfSchemaKeyword *keyword = find_keyword(members[i].key);
		int			mark = wf_schema_descend(&walk->schema_path, members[i].key);

		walk->keyword = keyword->name;
		if (keyword->apply != NULL)
			keyword->apply(walk, schema, &members[i].value, instance);
		wf_schema_leave(&walk->schema_path, mark);
	}
}

static void
begin_walk(WfSchemaWalk *walk)
{
	memset(walk, 0, sizeof(WfSchemaWalk));
	walk->keyword = "schema";
	initStringInfo(&walk->path);
	initStringInfo(&walk->schema_path);
}

List *
wf_schema_faults(Jsonb *schema)
{
	WfSchemaWalk walk;

	begin_walk(&walk);
	wf_schema_check(&walk, wf_jsonb_root(schema));

	return walk.errors;
}

/*
 * A schema with faults gives no verdict: it is refused.
 */
static void
require_faultless(Jsonb *schema)
{
	List	   *faults = wf_schema_faults(schema);
	StringInfoData lines;
	ListCell   *cell;

	if (faults == NIL)
		return;
	initStringInfo(&lines);
	foreach(cell, faults)
	{
		const WfSchemaError *fault = lfirst(cell);

		appendStringInfo(&lines, "%sat \"%s\": %s", lines.len > 0 ? "\n" : "",
						 fault->schema_path, fault->message);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("schema cannot be used: %d %s", list_length(faults),
					list_length(faults) == 1 ? "fault" : "faults"),
			 errdetail_internal("%s", lines.data),
			 errhint("Remove or replace what stands at these paths.")));
}

List *
wf_schema_errors(Jsonb *schema, Jsonb *instance)
{
	WfSchemaWalk walk;

	require_faultless(schema);
	begin_walk(&walk);
	wf_schema_apply(&walk, wf_jsonb_root(schema), wf_jsonb_root(instance));

	return walk.errors;
}

/* ----------------------------------------------------------------------- SQL */

PG_FUNCTION_INFO_V1(wf_sql_schema_errors);

/*
 * schema_errors(schema jsonb, instance jsonb) returns setof (path text,
 * keyword text, message text, schema_path text)
 *
 * Everything in an instance that its schema does not allow.
 */
Datum
wf_sql_schema_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, wf_schema_errors(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)))
	{
		const WfSchemaError *error = lfirst(cell);
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = CStringGetTextDatum(error->path);
		values[1] = CStringGetTextDatum(error->keyword);
		values[2] = CStringGetTextDatum(error->message);
		values[3] = CStringGetTextDatum(error->schema_path);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_sql_schema_valid);

/*
 * schema_valid(schema jsonb, instance jsonb) returns bool
 */
Datum
wf_sql_schema_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wf_schema_errors(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)) == NIL);
}
