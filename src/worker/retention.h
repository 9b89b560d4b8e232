/*
 * retention.h
 *	  Forgetting what is old, as the settings say.
 */
#ifndef WF_WORKER_RETENTION_H
#define WF_WORKER_RETENTION_H

#include "worker/round.h"

/*
 * Forgets some of what is due, in transactions of its own.
 */
extern void wf_retention_run(void);

/*
 * When there is more to forget; 0: never.  Looks into the tables only when
 * that is not known, or the settings have changed.
 */
extern TimestampTz wf_retention_next(void);

#endif							/* WF_WORKER_RETENTION_H */
