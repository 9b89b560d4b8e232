/*
 * fold.h
 *	  Statistics of moves, brought up to date from time to time.
 */
#ifndef WF_WORKER_FOLD_H
#define WF_WORKER_FOLD_H

#include "datatype/timestamp.h"

/* When wf_fold_run() has something to do; 0: not before something moves. */
extern TimestampTz wf_fold_next(void);
extern void wf_fold_run(void);

/* As a step of run(), see round.h. */
extern void wf_fold_step(void *argument);

#endif							/* WF_WORKER_FOLD_H */
