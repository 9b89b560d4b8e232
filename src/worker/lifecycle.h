/*
 * lifecycle.h
 *	  Stopping the workers of a database.
 */
#ifndef WF_WORKER_LIFECYCLE_H
#define WF_WORKER_LIFECYCLE_H

#include "worker/registry.h"

extern void wf_lifecycle_init(void);
extern int	wf_lifecycle_stop(Oid database, WfSlotState state);

/* statements that workers would stand in the way of */
extern void wf_utility_init(void);

#endif							/* WF_WORKER_LIFECYCLE_H */
