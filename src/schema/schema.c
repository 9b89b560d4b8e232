/*
 * schema.c
 *	  JSON Schema validation over jsonb: what other rooms and SQL call.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "fmgr.h"
#include "funcapi.h"
#include "schema/schema_internal.h"
#include "utils/builtins.h"

List *
wf_schema_faults(Jsonb *schema)
{
	return wf_schema_compile(schema)->faults;
}

List *
wf_schema_errors(Jsonb *schema, Jsonb *instance)
{
	WfJudge		judge = {.wants_errors = true};

	wf_judge_inner(&judge, wf_schema_cached(schema)->root, wf_jsonb_root(instance), NULL);

	return judge.errors;
}

bool
wf_schema_allows(Jsonb *schema, Jsonb *instance)
{
	WfJudge		judge = {.wants_errors = false};

	return wf_judge_inner(&judge, wf_schema_cached(schema)->root, wf_jsonb_root(instance), NULL);
}

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
	PG_RETURN_BOOL(wf_schema_allows(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}
