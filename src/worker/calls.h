/*
 * calls.h
 *	  Outside calls from claim to record: where queue, effect and http meet.
 */
#ifndef WF_WORKER_CALLS_H
#define WF_WORKER_CALLS_H

#include "worker/dispatch.h"

typedef struct WfCalls WfCalls;

extern WfCalls *wf_calls_open(const WfDispatcher *by);
extern void wf_calls_close(WfCalls *calls);

/* Work may have come: look for it at the next turn. */
extern void wf_calls_look(WfCalls *calls);

/* Claims no more from now on; what is under way ends. */
extern void wf_calls_stop_claiming(WfCalls *calls);

/* Moves everything on as far as it goes without waiting; returns how much moved. */
extern int	wf_calls_turn(WfCalls *calls);

/*
 * For who is asked to end: gives up what has not been sent yet, and records and
 * tells what has finished.
 */
extern void wf_calls_finish(WfCalls *calls);

/* Sleeps until something moves, at most so long (-1: no limit). */
extern void wf_calls_wait(WfCalls *calls, long limit_ms);

/* Calls that are not recorded yet. */
extern int	wf_calls_under_way(const WfCalls *calls);

/* Whether the last transaction failed. */
extern bool wf_calls_has_failed(const WfCalls *calls);

/* When the next job may be claimed or told; 0 when none is planned. */
extern TimestampTz wf_calls_next_due(const WfCalls *calls);

/* When the next job of a call is due, by the tables; 0 when there is none. */
extern TimestampTz wf_calls_next_job(void);

#endif							/* WF_WORKER_CALLS_H */
