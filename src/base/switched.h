/*
 * switched.h
 *	  Who relies on triggers is told when somebody disables or enables them.
 */
#ifndef WF_BASE_SWITCHED_H
#define WF_BASE_SWITCHED_H

/*
 * Called within the transaction that disables or enables a trigger of one of the
 * extension's tables: rows may have been written, or may yet be, of which that
 * trigger says nothing.  Not while the extension is made or updated.
 */
typedef void (*WfSwitched) (const char *table);

extern void wf_when_switched(WfSwitched tell);

/* Called when the library is loaded. */
extern void wf_switched_init(void);

#endif							/* WF_BASE_SWITCHED_H */
