/*
 * redrive.h
 *	  Dead letters that are taken up again in batches.
 */
#ifndef WF_WORKER_REDRIVE_H
#define WF_WORKER_REDRIVE_H

#include "worker/dispatch.h"

extern int	wf_redrive_some(const WfDispatcher *by);
extern int	wf_redrive_own(const WfDispatcher *by);

/* When the next one is due; 0 when none waits.  Inside a step. */
extern TimestampTz wf_redrive_next(void);

/* Forgetting those that have ended.  Inside a step. */
extern uint64 wf_redrive_purge(TimestampTz until, int most);
extern TimestampTz wf_redrive_oldest_end(void);

#endif							/* WF_WORKER_REDRIVE_H */
