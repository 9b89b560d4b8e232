/*
 * trace.h
 *	  Which sql job a process is running, for those who outlive it.
 */
#ifndef WF_WORKER_TRACE_H
#define WF_WORKER_TRACE_H

#include "nodes/pg_list.h"
#include "queue/queue.h"

/* The side of the process that runs jobs. */
extern void wf_trace_begin(const WfJob *job);
extern void wf_trace_end(void);
extern void wf_trace_note_timeout(void);
extern void wf_trace_take_no_blame(void);

/* What was left of a process that died while it ran a job. */
typedef struct WfTrace
{
	char	   *path;
	WfDeath		death;
} WfTrace;

/* Those of this database: a List of WfTrace *. */
extern List *wf_trace_left_behind(void);
extern void wf_trace_remove(const WfTrace *trace);
extern void wf_trace_forget_database(Oid database);

#endif							/* WF_WORKER_TRACE_H */
