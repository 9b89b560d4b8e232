/*
 * lone.h
 *	  An UPDATE that moves one item and does nothing else.
 */
#ifndef WF_ITEM_LONE_H
#define WF_ITEM_LONE_H

#include "executor/execdesc.h"

/*
 * Ends such a statement, before the triggers fire that it may have put off; false
 * where there may be any, or where it was no such statement.
 */
extern bool wf_lone_end(const QueryDesc *query);

/* Called when the library is loaded. */
extern void wf_lone_init(void);

#endif							/* WF_ITEM_LONE_H */
