/*
 * tell.h
 *	  Telling jobs what became of their effects.
 */
#ifndef WF_WORKER_TELL_H
#define WF_WORKER_TELL_H

#include "worker/dispatch.h"

/*
 * Lets the jobs of an effect follow its state, inside the present transaction:
 * first the worker's own (NULL: none), ready again not before a time (0: now),
 * for a reason (NULL: none).
 * One that raises is put off and says why.  Returns false when one could not
 * be told because somebody holds it: try again.
 */
extern bool wf_tell_jobs(const WfDispatcher *by, int64 effect_id, const WfJob *own,
						 TimestampTz not_before, const char *waiting_on);

/*
 * Tells the jobs that were not told: whoever was to do it is gone, or could not
 * have them.  Returns how many effects that settled.
 */
extern int	wf_tell_untold(const WfDispatcher *by, int limit);

/* When there will be some to tell; 0: when woken. */
extern TimestampTz wf_tell_next(void);

/*
 * The job waits, saying why it could not follow; false when somebody holds it.
 */
extern bool wf_tell_put_off(const WfJob *job, const WfFault *fault);

/* Statements of the present transaction wait for no lock for long. */
extern void wf_tell_limit_waits(void);

/* A person who cancels run() does not mean the step only. */
extern void wf_tell_raise_cancel(const WfDispatcher *by, const WfFault *fault);

#endif							/* WF_WORKER_TELL_H */
