/*
 * alerts.h
 *	  Looking for what is wrong, so that alerts open and clear by themselves.
 */
#ifndef WF_WORKER_ALERTS_H
#define WF_WORKER_ALERTS_H

#include "worker/dispatch.h"

/* Before the first look; whether work has woken the worker. */
extern void wf_alerts_begin(bool is_news);

/*
 * For the maintenance worker, in each round: looks if it is time, or if what it has
 * missed (wake.h) is a reason.
 */
extern void wf_alerts_run(const WfDispatcher *by, uint32 missed);

/* When to look again; 0: when woken. */
extern TimestampTz wf_alerts_next(void);

/* Until when work is news that this process has to be woken for. */
extern TimestampTz wf_alerts_news_until(void);

/* Looks now: for run(). */
extern void wf_alerts_look(const WfDispatcher *by);

#endif							/* WF_WORKER_ALERTS_H */
