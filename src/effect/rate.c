/*
 * rate.c
 *	  Rate limits of endpoints.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/rate.h"
#include "effect/ledger.h"
#include "utils/timestamp.h"

/* How soon to look again at a limit that a test holds. */
#define BUSY_US			(INT64CONST(100) * 1000)

typedef struct Call
{
	TimestampTz now;
	int64		step_us;		/* what a call takes */
	int64		burst_us;
	TimestampTz opens_at;		/* 0: it has been charged */
} Call;

/*
 * GCRA: a limit of n in a time is n at once, then one each time/n.
 */
static TimestampTz
charge_call(TimestampTz next_at, void *argument)
{
	Call	   *call = argument;
	TimestampTz from = Max(next_at, call->now);
	TimestampTz opens_at = from + call->step_us - call->burst_us;

	call->opens_at = opens_at > call->now ? opens_at : 0;

	return call->opens_at == 0 ? from + call->step_us : next_at;
}

/*
 * Takes one from the endpoint's rate limit; returns when to try again, or 0.  What a
 * mocked call, or one by another clock, has taken is undone by a rollback.
 */
TimestampTz
wf_endpoint_take_rate(const WfEndpoint *endpoint, bool is_mocked)
{
	WfRateKey	key = {WF_RATE_ENDPOINT, psprintf("%d", endpoint->endpoint_id), ""};
	WfRateMode	mode = is_mocked || wf_clock_is_faked() ? WF_RATE_IS_UNDONE : WF_RATE_STAYS;
	Call		call = {.now = wf_now(),.burst_us = endpoint->rate_per_us};

	if (endpoint->rate_count == 0)
		return 0;
	call.step_us = endpoint->rate_per_us / endpoint->rate_count;
	if (!wf_rate_charge(&key, mode, false, charge_call, &call))
		return call.now + BUSY_US;

	return call.opens_at;
}
