/*
 * schema.h
 *	  JSON Schema validation over jsonb.
 *
 * Draft 2020-12, and 2019-09 and draft-07 where "$schema" says so.  A schema
 * is compiled once in a session and kept.
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

/*
 * Faults of an instance; NIL when it is valid.  An error (22023) when the schema
 * has faults itself.
 */
extern List *wf_schema_errors(Jsonb *schema, Jsonb *instance);

/* Whether there is no such fault; quicker, as the first one decides. */
extern bool wf_schema_allows(Jsonb *schema, Jsonb *instance);

/* Faults of a schema itself: unknown or unsupported keywords, wrong values. */
extern List *wf_schema_faults(Jsonb *schema);

#endif							/* WF_SCHEMA_SCHEMA_H */
