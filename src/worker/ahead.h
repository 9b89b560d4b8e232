/*
 * ahead.h
 *	  What comes next, for the maintenance worker.
 */
#ifndef WF_WORKER_AHEAD_H
#define WF_WORKER_AHEAD_H

#include "datatype/timestamp.h"

typedef struct WfAhead
{
	TimestampTz sql_due;		/* 0: nothing is; the same below */
	TimestampTz http_due;
	TimestampTz next_due;		/* of everything else */
} WfAhead;

extern void wf_ahead_look(WfAhead *ahead);

#endif							/* WF_WORKER_AHEAD_H */
