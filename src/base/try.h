/*
 * try.h
 *	  Trying something whose failure must not end the transaction.
 */
#ifndef WF_BASE_TRY_H
#define WF_BASE_TRY_H

#include "utils/elog.h"

/*
 * Runs a step in a subtransaction.  When it raises, that is rolled back and
 * the error is returned, in the caller's memory context; else NULL.
 */
extern ErrorData *wf_try(void (*step) (void *argument), void *argument);

/*
 * Whether the same step is likely to succeed in a moment: others were in the
 * way, somebody cancelled it, or the server is short of something.
 */
extern bool wf_error_is_passing(int sqlstate);

#endif							/* WF_BASE_TRY_H */
