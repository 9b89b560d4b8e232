/*
 * policy.h
 *	  Retry policies and error classes; pure: no tables, no clock of its own.
 */
#ifndef WF_RETRY_POLICY_H
#define WF_RETRY_POLICY_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef enum WfJitter
{
	WF_JITTER_NONE,
	WF_JITTER_FULL,
} WfJitter;

typedef struct WfRetryPolicy
{
	const char *owner;			/* or NULL: the queue's */
	const char *dead_letter;	/* queue of dead letters, or NULL */
	int			max_attempts;
	int64		timeout_us;		/* of one attempt */
	int64		initial_us;
	double		factor;
	int64		max_us;
	WfJitter	jitter;
	int			nretry_on;
	const char **retry_on;		/* error classes */
	int			alert_after;	/* 0: never */
} WfRetryPolicy;

/* What a failed attempt leads to. */
typedef struct WfRetryDecision
{
	bool		retry;
	bool		charged;		/* counts as an attempt (a rate limit does
								 * not) */
	int64		delay_us;		/* when retry */
} WfRetryDecision;

/* What a policy may have at most; more is refused when it is read. */
#define WF_POLICY_MAX_COUNT		1000000
#define WF_POLICY_MAX_FACTOR	1000

/* max_attempts 5, 30 s, 1 s x 2 up to 15 min with full jitter, transient classes */
extern WfRetryPolicy *wf_default_policy(void);

/*
 * Reads a policy object laid over base (NULL: the default one).  Allocates in
 * the current context.  A wrong value raises invalid_parameter_value.
 */
extern WfRetryPolicy *wf_policy_from_jsonb(Jsonb *object, const WfRetryPolicy *base);

/* The same for its errors only, of which an unknown key is one here. */
extern void wf_policy_check(Jsonb *object);

/*
 * attempt: attempts charged so far, this one included.  retry_after_us: what
 * the other side asked for, or -1.  random01: in [0, 1), for the jitter.
 */
extern WfRetryDecision wf_retry_decide(const WfRetryPolicy *policy, int attempt,
									   const char *error_class,
									   int64 retry_after_us, double random01);

/* How long a policy waits after an attempt when nobody named a delay. */
extern int64 wf_retry_delay_us(const WfRetryPolicy *policy, int attempt, double random01);

/* The known error classes; whether repeating can mend one. */
extern const char **wf_error_class_names(int *count);
extern bool wf_error_class_is_known(const char *error_class);
extern bool wf_error_class_is_transient(const char *error_class);

/* Whether a policy may repeat the class by time at all. */
extern bool wf_error_class_is_repeatable(const char *error_class);

/* Raises invalid_parameter_value, with the list, for an unknown class. */
extern void wf_require_error_class(const char *error_class);

/* The class of an SQLSTATE: deadlock, serialization, timeout, ... permanent. */
extern const char *wf_classify_sqlstate(int sqlstate);

#endif							/* WF_RETRY_POLICY_H */
