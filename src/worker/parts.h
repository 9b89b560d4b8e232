/*
 * parts.h
 *	  The parts of a maintenance worker's round: one that fails is tried again after
 *	  a pause of its own, and stands in the way of no other one.
 *
 * In a process that has not begun with it nothing pauses: run() has a person who
 * reads the error.
 */
#ifndef WF_WORKER_PARTS_H
#define WF_WORKER_PARTS_H

#include "datatype/timestamp.h"

typedef enum WfPart
{
	WF_PART_NONE,
	WF_PART_CLAIMS,
	WF_PART_TIMERS,
	WF_PART_LOST_JOBS,
	WF_PART_LOST_SENDERS,
	WF_PART_BLOCKED,
	WF_PART_UNTOLD,
	WF_PART_ENDS,
	WF_PART_REDRIVES,
	WF_PART_PAUSES,
	WF_PART_PREPARED,

	/* looks at what comes next, see ahead.c */
	WF_PART_NEXT_SQL,
	WF_PART_NEXT_HTTP,
	WF_PART_NEXT_TIMER,
	WF_PART_NEXT_LEASE,
	WF_PART_NEXT_CHECK,
	WF_PART_NEXT_TOLD,
	WF_PART_NEXT_RETENTION,
	WF_PART_NEXT_FOLD,
	WF_PART_NEXT_TIDY,
	WF_PART_NEXT_REDRIVE,
} WfPart;
#define WF_PARTS (WF_PART_NEXT_REDRIVE + 1)

extern void wf_parts_begin(void);

/* Whether it is time for it. */
extern bool wf_part_may_run(WfPart part);

/* What it has returned, below 0 for a failure: wf_round_run() has logged that. */
extern int	wf_part_ended(WfPart part, int result);

/* When a part is tried again; 0: it has not failed. */
extern TimestampTz wf_part_again(WfPart part);

/* The same for the first of all. */
extern TimestampTz wf_parts_next(void);

#endif							/* WF_WORKER_PARTS_H */
