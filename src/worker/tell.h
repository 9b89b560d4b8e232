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
 * Finds up to size effects with jobs that were not told: whoever was to do it is
 * gone, or could not have them.  Returns how many.
 */
extern int	wf_tell_find_untold(const WfDispatcher *by, int64 *effects, int size);

/* Tells all jobs of one; false: try again. */
extern bool wf_tell_all_jobs(const WfDispatcher *by, int64 effect_id);

/* For one whose jobs refuse even to be put off: leaves it alone for a while. */
extern void wf_tell_leave_aside(int64 effect_id);

/*
 * A process has ended that may have been about to tell that the item of an effect
 * has left: the next look finds such effects, too.  So does a process's first.
 */
extern void wf_tell_expect_orphans(void);

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
