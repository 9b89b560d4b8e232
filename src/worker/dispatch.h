/*
 * dispatch.h
 *	  What is due, done: the core that workers and run() share.
 */
#ifndef WF_WORKER_DISPATCH_H
#define WF_WORKER_DISPATCH_H

#include "queue/queue.h"
#include "worker/round.h"

/* On whose behalf, and how a transaction is made there. */
typedef struct WfDispatcher
{
	const char *actor;			/* for the log of transitions */
	const char *worker;			/* for the attempts: actor and process */
	bool		in_session;		/* the process belongs to somebody */

	/* runs a step in a transaction of its own; false: rolled back */
	bool		(*perform) (const char *doing, WfStep step, void *argument,
							WfFault *fault);

	/*
	 * the same, for what this process alone knows: asked to end, it does so
	 * after that; NULL: by perform
	 */
	bool		(*record) (const char *doing, WfStep step, void *argument,
						   WfFault *fault);

	/* whether it was asked to end: then it begins nothing; NULL: never */
	bool		(*is_ending) (void);
} WfDispatcher;

/* How many sql activities to take at once; zeroed at the start. */
typedef struct WfSqlPace
{
	int			limit;			/* 0: not known yet */
	int			alone;			/* so many are to run again alone */
} WfSqlPace;

extern WfDispatcher *wf_dispatcher(const char *actor);

extern int	wf_dispatch_sql(const WfDispatcher *by, WfSqlPace *pace);
extern void wf_dispatch_sql_job(const WfDispatcher *by, WfJob *job);
extern int	wf_dispatch_timers(const WfDispatcher *by);
extern int	wf_dispatch_ends(const WfDispatcher *by, bool *put_off);
extern int	wf_dispatch_reclaim(const WfDispatcher *by, bool *put_off);

/* Jobs that a process died with. */
extern int	wf_dispatch_deaths(const WfDispatcher *by, bool *put_off);
extern void wf_dispatch_new_deaths(const WfDispatcher *by);
extern List *wf_dispatch_uncharged(void);
extern bool wf_dispatch_charge_claimed(const List *uncharged, const WfJob *job);

/* What a fault says, for an attempt's detail. */
extern Jsonb *wf_fault_detail(const WfFault *fault);
extern void wf_dispatch_fail(const WfDispatcher *by, const WfJob *job, const WfFault *fault);

/* Makes a dead letter of a job whose end cannot be recorded, in a step of its own. */
extern bool wf_dispatch_bury(const WfDispatcher *by, int64 job_id, const WfFault *fault);

#endif							/* WF_WORKER_DISPATCH_H */
