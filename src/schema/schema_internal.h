/*
 * schema_internal.h
 *	  What the keywords of JSON Schema share: the walk and its errors.
 */
#ifndef WF_SCHEMA_INTERNAL_H
#define WF_SCHEMA_INTERNAL_H

#include "lib/stringinfo.h"
#include "schema/schema.h"

/* Where a walk stands in the instance and in the schema, and what it found. */
typedef struct WfSchemaWalk
{
	StringInfoData path;		/* JSON pointers */
	StringInfoData schema_path;
	const char *keyword;		/* the one being looked at */
	List	   *errors;			/* of WfSchemaError * */
} WfSchemaWalk;

/*
 * A keyword.  check looks at the keyword's own value, when a schema is
 * accepted; apply looks at an instance, whose keyword value was accepted.
 * Without apply the keyword is an annotation.  schema is the object that the
 * keyword stands in.
 */
typedef struct WfSchemaKeyword
{
	const char *name;
	void		(*check) (WfSchemaWalk *walk, JsonbValue *value);
	void		(*apply) (WfSchemaWalk *walk, JsonbValue *schema,
						  JsonbValue *value, JsonbValue *instance);
} WfSchemaKeyword;

extern const WfSchemaKeyword wf_schema_keywords[];	/* the last has no name */

/* Walks down in one of the pointers; leave takes what descend returned. */
extern int	wf_schema_descend(StringInfo pointer, const char *key);
extern int	wf_schema_descend_element(StringInfo pointer, int index);
extern void wf_schema_leave(StringInfo pointer, int mark);

extern void wf_schema_report(WfSchemaWalk *walk, const char *message,...) pg_attribute_printf(2, 3);

/* Checks a schema, or applies one, inside another. */
extern void wf_schema_check(WfSchemaWalk *walk, JsonbValue *schema);
extern void wf_schema_apply(WfSchemaWalk *walk, JsonbValue *schema, JsonbValue *instance);

#endif							/* WF_SCHEMA_INTERNAL_H */
