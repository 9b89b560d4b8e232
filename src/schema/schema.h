/*
 * schema.h
 *	  JSON Schema validation over jsonb.
 */
#ifndef WF_SCHEMA_SCHEMA_H
#define WF_SCHEMA_SCHEMA_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct WfSchemaError
{
	const char *path;			/* JSON pointer into the instance */
	const char *schema_path;	/* JSON pointer into the schema */
	const char *keyword;
	const char *message;
} WfSchemaError;

/* Faults of an instance; NIL when it is valid. */
extern List *wf_schema_errors(Jsonb *schema, Jsonb *instance);

/* Faults of a schema itself: unknown or unsupported keywords, wrong values. */
extern List *wf_schema_faults(Jsonb *schema);

#endif							/* WF_SCHEMA_SCHEMA_H */
