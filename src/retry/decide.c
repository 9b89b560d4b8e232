/*
 * decide.c
 *	  What follows on a failed attempt: again, after which delay, or the end.
 *
 * Pure arithmetic over values; the only chance in it is handed in.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "base/clock.h"
#include "funcapi.h"
#include "retry/policy.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static bool
retries_on(const WfRetryPolicy *policy, const char *error_class)
{
	for (int i = 0; i < policy->nretry_on; i++)
		if (strcmp(policy->retry_on[i], error_class) == 0)
			return true;

	return false;
}

/*
 * Exponential backoff, cut at the policy's maximum, without jitter.
 */
static int64
backoff_us(const WfRetryPolicy *policy, int attempt)
{
	double		delay = policy->initial_us * pow(policy->factor, Max(attempt, 1) - 1);

	return delay >= policy->max_us ? policy->max_us : (int64) delay;
}

/*
 * Full jitter spreads the delay over [0, backoff).  When the other side named
 * a delay, that is the least, and the jitter comes on top, so that those who
 * were told the same do not come back together.
 */
static int64
delay_us(const WfRetryPolicy *policy, int attempt, int64 asked_us, double random01)
{
	int64		backoff = backoff_us(policy, attempt);
	int64		spread = policy->jitter == WF_JITTER_FULL ?
	(int64) (random01 * policy->initial_us) : 0;

	if (asked_us >= backoff)
		return asked_us + Min(spread, policy->max_us);
	if (policy->jitter == WF_JITTER_FULL)
		backoff = (int64) (random01 * backoff);

	return Max(backoff, asked_us);
}

int64
wf_retry_delay_us(const WfRetryPolicy *policy, int attempt, double random01)
{
	return delay_us(policy, attempt, -1, random01);
}

static bool
obeys_retry_after(const char *error_class)
{
	return strcmp(error_class, "rate_limited") == 0 ||
		strcmp(error_class, "overloaded") == 0 ||
		strcmp(error_class, "unavailable") == 0;
}

/*
 * A rate limit is nobody's failure: it is not charged, and so never spends
 * the attempts.  With no delay named it waits the backoff unshortened, for
 * its attempt number does not grow.
 */
WfRetryDecision
wf_retry_decide(const WfRetryPolicy *policy, int attempt, const char *error_class,
				int64 retry_after_us, double random01)
{
	WfRetryDecision decision = {0};
	bool		is_rate_limit;

	wf_require_error_class(error_class);
	is_rate_limit = strcmp(error_class, "rate_limited") == 0;

	decision.charged = !is_rate_limit;
	decision.retry = retries_on(policy, error_class) &&
		wf_error_class_is_repeatable(error_class) &&
		(is_rate_limit || attempt < policy->max_attempts);
	if (!decision.retry)
		return decision;

	if (!obeys_retry_after(error_class) || retry_after_us < 0)
		retry_after_us = is_rate_limit ? backoff_us(policy, attempt) : -1;
	else if (is_rate_limit)
		attempt = 1;			/* what was asked for counts, not our backoff */
	decision.delay_us = delay_us(policy, attempt, retry_after_us, random01);

	return decision;
}

PG_FUNCTION_INFO_V1(wf_retry_decide_sql);

/*
 * workflow._retry_decide(policy jsonb, attempt int, error_class text,
 *		retry_after interval, random01 float8)
 *		-> (retry bool, charged bool, delay interval)
 */
Datum
wf_retry_decide_sql(PG_FUNCTION_ARGS)
{
	WfRetryPolicy *policy;
	WfRetryDecision decision;
	TupleDesc	description;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	Interval   *delay = palloc0(sizeof(Interval));

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("attempt and error class must not be null"),
				 errdetail("A decision is made about one failed attempt."),
				 errhint("Only policy and retry_after may be null.")));
	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	policy = wf_policy_from_jsonb(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), NULL);
	decision = wf_retry_decide(policy, PG_GETARG_INT32(1),
							   text_to_cstring(PG_GETARG_TEXT_PP(2)),
							   PG_ARGISNULL(3) ? -1 : wf_interval_us(PG_GETARG_INTERVAL_P(3)),
							   PG_ARGISNULL(4) ? 0 : PG_GETARG_FLOAT8(4));

	delay->time = decision.delay_us;
	values[0] = BoolGetDatum(decision.retry);
	values[1] = BoolGetDatum(decision.charged);
	values[2] = IntervalPGetDatum(delay);
	nulls[2] = !decision.retry;

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description),
													  values, nulls)));
}
