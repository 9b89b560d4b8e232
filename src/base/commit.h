/*
 * commit.h
 *	  What the commit of the present transaction must do.
 */
#ifndef WF_BASE_COMMIT_H
#define WF_BASE_COMMIT_H

#include "access/xact.h"

extern void wf_require_flushed_commit(void);

/*
 * Calls a function as transactions end, this one and all later ones: for what
 * few transactions do, so that the others need not ask.  It comes before what
 * was registered earlier; *is_called: whether it is called already.
 */
extern void wf_call_from_now_on(XactCallback function, bool *is_called);

#endif							/* WF_BASE_COMMIT_H */
