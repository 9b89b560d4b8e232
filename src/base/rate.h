/*
 * rate.h
 *	  What rate limits have been charged with.
 *
 * A limit is a GCRA: one timestamp, the theoretical arrival time, in a row of
 * workflow.rate.  How far it may be ahead of the clock, and what a charge moves
 * it by, is for the caller to say.
 */
#ifndef WF_BASE_RATE_H
#define WF_BASE_RATE_H

#include "datatype/timestamp.h"

#define WF_RATE_QUEUE "queue"	/* as a whole */
#define WF_RATE_TENANT "tenant" /* of a queue, each by himself */
#define WF_RATE_ENDPOINT "endpoint" /* by its endpoint_id */

/* What is limited. */
typedef struct WfRateKey
{
	const char *kind;			/* WF_RATE_xxx */
	const char *name;
	const char *tenant;			/* of WF_RATE_TENANT; else "" */
} WfRateKey;

typedef enum WfRateMode
{
	WF_RATE_STAYS,				/* charged for good: a rollback gives nothing
								 * back */
	WF_RATE_IS_UNDONE,			/* charged by the transaction, as in a test
								 * with another clock */
} WfRateMode;

/* A limit that nothing has been charged to since it rested. */
#define WF_RATE_RESTED DT_NOBEGIN

/*
 * What a limit is after a charge, from what it was; the same when nothing is charged.
 * Neither allocates nor raises.
 */
typedef TimestampTz (*WfRateCharge) (TimestampTz next_at, void *argument);

/* As the last one who charged it has left it, whether or not he has committed. */
extern TimestampTz wf_rate_read(const WfRateKey *key);

/*
 * Charges a limit.  Where the row is being written by another transaction (a test,
 * say) it is waited for, or false is returned and nothing was charged.
 */
extern bool wf_rate_charge(const WfRateKey *key, WfRateMode mode, bool waits, WfRateCharge charge,
						   void *argument);

/*
 * Forgets what has rested for a minute; returns when to do so again, infinity when
 * there is nothing left to forget.
 */
extern TimestampTz wf_rates_sweep(void);

#endif							/* WF_BASE_RATE_H */
