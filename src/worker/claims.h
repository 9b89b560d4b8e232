/*
 * claims.h
 *	  Writing down claims that are in memory only, for the maintenance worker.
 */
#ifndef WF_WORKER_CLAIMS_H
#define WF_WORKER_CLAIMS_H

#include "datatype/timestamp.h"

/*
 * Takes in whether claims have come; returns whether there is any reason to see to
 * them in what was missed, or in the time.
 */
extern bool wf_claims_note(uint32 missed);

/* Writes those that are due. */
extern void wf_claims_write(void);
extern bool wf_claims_are_due(void);

/* The same where much else is done meanwhile, and it may be time. */
extern void wf_claims_keep_up(void);

/* When the next ones are due; 0: none is known. */
extern TimestampTz wf_claims_next(void);

#endif							/* WF_WORKER_CLAIMS_H */
