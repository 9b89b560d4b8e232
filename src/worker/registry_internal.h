/*
 * registry_internal.h
 *	  The block of shared memory behind registry.h.
 */
#ifndef WF_WORKER_REGISTRY_INTERNAL_H
#define WF_WORKER_REGISTRY_INTERNAL_H

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "worker/registry.h"

#define WF_MAX_RECHECKS 16

typedef struct WfRegistry
{
	LWLock		lock;
	int			tranche;		/* set once */
	int			nslots;			/* set once */
	uint32		last_generation;
	pg_atomic_uint32 deaths;	/* of processes that ran a job */
	TimestampTz wanted_at;		/* when somebody lacked a process; 0: nobody
								 * does */
	TimestampTz ended_at;		/* when the last worker ended */
	bool		is_scarce;		/* who takes a process waits for its turn */
	Oid			turn;			/* whose it is; InvalidOid: the launcher's */
	bool		recheck_all;
	int			nrechecks;
	Oid			rechecks[WF_MAX_RECHECKS];
	WfWorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} WfRegistry;

extern WfRegistry *wf_registry_block(void);
extern WfRegistry *wf_registry_lock(LWLockMode mode);
extern void wf_registry_unlock(void);

extern WfWorkerSlot *wf_registry_my_slot(void);

/* with the lock held */
extern WfWorkerSlot *wf_registry_maintenance(Oid database);
extern WfWorkerSlot *wf_registry_free_slot(void);

#endif							/* WF_WORKER_REGISTRY_INTERNAL_H */
