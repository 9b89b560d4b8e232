/*
 * context.h
 *	  What CONTEXT an error shows to whoever called a public function.
 *
 * What an inner function refuses is said in MESSAGE, DETAIL and HINT; which
 * lines of ours it passed through tells a user nothing and hides his own.
 */
#ifndef WF_BASE_CONTEXT_H
#define WF_BASE_CONTEXT_H

#include "base/compat.h"

/*
 * For errcontext() at the border of a public function: marks where the lines
 * of inner functions end.
 */
#define WF_CONTEXT_BORDER "pg_workflow inner functions end here"

/*
 * In a PG_CATCH, in memory of the caller's: throws the error on, without the
 * lines before the border when the error is a refusal of ours and nobody
 * else's function had a part in it, and in any case without the border.
 */
pg_noreturn extern void wf_rethrow_at_border(void);

#endif							/* WF_BASE_CONTEXT_H */
