/*
 * validate.c
 *	  JSON Schema validation over jsonb.
 */
#include "postgres.h"

#include "schema/schema.h"

List *
wf_schema_errors(Jsonb *schema, Jsonb *instance)
{
	elog(ERROR, "wf_schema_errors is not built yet");
}

List *
wf_schema_faults(Jsonb *schema)
{
	elog(ERROR, "wf_schema_faults is not built yet");
}
