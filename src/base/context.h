/*
 * context.h
 *	  The border of a public function: what CONTEXT an error shows to its caller.
 *
 * What an inner function refuses is said in MESSAGE, DETAIL and HINT; which
 * lines of ours it passed through tells a user nothing and hides his own.
 */
#ifndef WF_BASE_CONTEXT_H
#define WF_BASE_CONTEXT_H

#include "fmgr.h"

/*
 * Runs the work of a public function.  An error that is a refusal of ours, and
 * in which nobody else's function had a part, is thrown on without the lines of
 * what happened within; that the transaction may not write is said of the
 * public function.
 */
extern Datum wf_at_border(PGFunction function, FunctionCallInfo fcinfo);

/*
 * Raises 25006 for the public function of that name where nothing can be written.
 */
extern void wf_require_writable(const char *name);

/*
 * Whether a procedure was called on its own, so that it may commit.
 */
extern bool wf_may_commit(FunctionCallInfo fcinfo);

/*
 * Defines a public function whose body follows.
 */
#define WF_PUBLIC_FUNCTION(name) \
	static Datum name##_within(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		return wf_at_border(name##_within, fcinfo); \
	} \
	static Datum \
	name##_within(PG_FUNCTION_ARGS)

#endif							/* WF_BASE_CONTEXT_H */
