/*
 * allot.h
 *	  Who gives a process up, and whose turn it is to take one: for the launcher.
 */
#ifndef WF_WORKER_ALLOT_H
#define WF_WORKER_ALLOT_H

#include "worker/registry.h"

/* What could not be had. */
typedef struct WfNeed
{
	int			nwanting;		/* databases that want a maintenance worker */
	bool		is_refused;		/* there was no process for the first of them */
	Oid			lacking;		/* a database that lacks an sql or http worker */
	bool		has_turn;		/* others have to wait for that one */
} WfNeed;

extern int	wf_allot_room(const WfWorkerSlot *slots, int n);
extern void wf_allot_lacking(const WfWorkerSlot *slots, int n, WfNeed *need);
extern void wf_allot_note_ended(void);
extern void wf_allot_note_started(void);
extern void wf_allot(WfWorkerSlot *slots, int n, const WfNeed *need, TimestampTz *next);

#endif							/* WF_WORKER_ALLOT_H */
