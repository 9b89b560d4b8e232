/*
 * end.h
 *	  Who has to do something when the present transaction, or a savepoint, ends.
 *
 * A room registers its functions once, and says in each transaction that it has
 * something for them to do, as it begins to have it.  Nobody else is called, so a
 * transaction that has nothing of ours calls nothing.
 */
#ifndef WF_BASE_END_H
#define WF_BASE_END_H

#include "access/xact.h"

/* One bit; 0 before it is registered. */
typedef uint32 WfEnd;

/* Whose turn comes; of end.c and wf_end_is_due(). */
extern uint32 wf_ends_due;

/*
 * Registers what is called at each event of a transaction and of a savepoint (may
 * be NULL).  As with the server's own callbacks, who comes last is called first.
 */
extern WfEnd wf_end_register(XactCallback of_transaction, SubXactCallback of_savepoint);

/*
 * From now on the functions are called, until the transaction has been committed
 * or rolled back.  Neither allocates nor raises.
 */
static inline void
wf_end_is_due(WfEnd end)
{
	wf_ends_due |= end;
}

/*
 * As the very last of the commit under way, when its invalidations are sent and its
 * locks are released.  To be called at XACT_EVENT_COMMIT; there is one such step.
 */
extern void wf_end_after_locks(void (*step) (void));

/* Called when the library is loaded. */
extern void wf_end_init(void);

#endif							/* WF_BASE_END_H */
