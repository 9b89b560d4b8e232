/*
 * jsonb.h
 *	  Reading and building jsonb values.
 *
 * Everything returned is allocated in the current memory context.
 */
#ifndef WF_BASE_JSONB_H
#define WF_BASE_JSONB_H

#include "utils/jsonb.h"

/* A member of an object; NULL when absent (or the value is no object). */
extern JsonbValue *wf_jsonb_get(Jsonb *object, const char *key);
extern JsonbValue *wf_jsonb_value_get(JsonbValue *object, const char *key);

/* The same as text (a string without quotes); NULL when absent or null. */
extern char *wf_jsonb_get_text(Jsonb *object, const char *key);
extern Jsonb *wf_jsonb_get_jsonb(Jsonb *object, const char *key);
extern bool wf_jsonb_get_bool(Jsonb *object, const char *key, bool otherwise);
extern int	wf_jsonb_get_int(Jsonb *object, const char *key, int otherwise);

extern char *wf_jsonb_value_text(JsonbValue *value);

/* A whole document as a value: a scalar, or jbvBinary. */
extern JsonbValue *wf_jsonb_root(Jsonb *document);
extern bool wf_jsonb_value_is_object(const JsonbValue *value);
extern bool wf_jsonb_value_is_array(const JsonbValue *value);

/* The members of an object, the elements of an array; none of anything else. */
typedef struct WfMember
{
	const char *key;
	JsonbValue	value;
} WfMember;

/* An object of such members. */
extern Jsonb *wf_jsonb_object(const WfMember *members, int count);

extern WfMember *wf_jsonb_members(const JsonbValue *object, int *count);
extern JsonbValue *wf_jsonb_elements(const JsonbValue *array, int *count);

/* Whether an array has a string; false also where it is none, or NULL. */
extern bool wf_jsonb_array_has_text(const JsonbValue *array, const char *text);

extern Jsonb *wf_jsonb_from_cstring(const char *json);
extern char *wf_jsonb_to_cstring(Jsonb *value);
extern Jsonb *wf_jsonb_from_text(const char *string);	/* a JSON string, or
														 * null */
extern Jsonb *wf_jsonb_empty_object(void);
extern bool wf_jsonb_is_object(Jsonb *value);

/* object || {key: value}; value NULL stores JSON null */
extern Jsonb *wf_jsonb_with(Jsonb *object, const char *key, Jsonb *value);
extern Jsonb *wf_jsonb_without(Jsonb *object, const char *key);
extern Jsonb *wf_jsonb_merge(Jsonb *left, Jsonb *right);

#endif							/* WF_BASE_JSONB_H */
