/*
 * round.h
 *	  One transaction of a worker, and one step inside of one.
 */
#ifndef WF_WORKER_ROUND_H
#define WF_WORKER_ROUND_H

#include "postmaster/bgworker.h"
#include "worker/registry.h"

/* What went wrong, in values that outlive the transaction. */
typedef struct WfFault
{
	int			sqlstate;
	char	   *message;
	char	   *detail;			/* or NULL */
	char	   *context;		/* or NULL */
} WfFault;

/* Work to do inside a transaction, connected to SPI, as the owner. */
typedef void (*WfStep) (void *argument);

extern bool wf_round_run(const char *doing, WfStep step, void *argument, WfFault *fault);
extern const char *wf_round_last_fault(void);
extern void wf_round_cancel(SIGNAL_ARGS);
extern bool wf_round_try(WfStep step, void *argument, WfFault *fault);
extern bool wf_fault_is_conflict(const WfFault *fault);
extern bool wf_fault_is_passing(const WfFault *fault);

/* The life of a background worker. */
extern void wf_worker_begin(Datum main_arg, WfWorkerSlot *me);
extern void wf_worker_turn(void);
extern bool wf_worker_extension_exists(void);
extern void wf_worker_leave_if_dropped(void);
extern void wf_worker_sleep(long timeout_ms, const char *doing);
extern void wf_worker_reload(void);
extern void wf_worker_idle(const char *doing);
extern TimestampTz wf_earlier(TimestampTz one, TimestampTz other);
extern long wf_ms_until(TimestampTz due, long otherwise);

extern void wf_worker_fill(BackgroundWorker *worker, WfWorkerKind kind);
extern bool wf_worker_launch(WfTicket ticket, WfWorkerKind kind,
							 BackgroundWorkerHandle **handle);

#endif							/* WF_WORKER_ROUND_H */
