/*
 * identity.h
 *	  Texts that tell one thing from another: keys, event ids and the like.
 */
#ifndef WF_BASE_IDENTITY_H
#define WF_BASE_IDENTITY_H

#include "fmgr.h"

/*
 * The argument, which may be null (NULL); an error when it is empty or too
 * long to be indexed.
 */
extern char *wf_optional_name(FunctionCallInfo fcinfo, int argument, const char *name);

/*
 * The same of an argument in which an empty text is a value like any other.
 */
extern char *wf_optional_label(FunctionCallInfo fcinfo, int argument, const char *name);

/*
 * The same of a key that was made and not given; the hint is for an empty one.
 */
extern const char *wf_require_name(const char *value, const char *what, const char *hint);

/*
 * An error when a text is too long to be indexed; empty ones pass.
 */
extern void wf_require_short(const char *value, const char *what);

#endif							/* WF_BASE_IDENTITY_H */
