/*
 * gate.c
 *	  Whether an endpoint takes a call now.
 *
 * Nothing is wrong with an effect that has to wait here: it stays pending,
 * nothing is charged and nothing is written about it.  What decides stands in
 * workflow.endpoint, so that a restart changes nothing; only the places in line
 * and the retry budget are kept in the process.
 *
 * The budget: of what is proven not applied, endpoints get as retries a fifth
 * of their first attempts and ten a minute, so that retries cannot keep an
 * endpoint down.  A retry that went well is given back: where they do, nobody
 * has to wait.  Unknown outcomes are not counted: they have to be settled while
 * their keys are known.
 */
#include "postgres.h"

#include "base/clock.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BUDGET_SHARE		0.2 /* of first attempts */
#define BUDGET_PER_MINUTE	10.0
#define BUDGET_MOST			1000.0
#define BUDGET_LOOK_US		(INT64CONST(500) * 1000)	/* one after the other */
#define BUDGET_SPAN_US		(INT64CONST(30) * 1000000)

/* A paused endpoint is looked at again so often; resume_endpoint() is quicker. */
#define PAUSE_LOOK_US		(INT64CONST(300) * 1000000)

/* Who waits comes back one after the other. */
#define LINE_STEP_US		(INT64CONST(2) * 1000)
#define LINE_SPAN_US		(INT64CONST(60) * 1000000)

/* While one call decides, the others look again after so long at least. */
#define PROBE_LOOK_US		(INT64CONST(100) * 1000)

typedef struct Gate
{
	int32		endpoint_id;	/* hash key */
	TimestampTz line_end;		/* when the last one in line comes back */
	double		tokens;			/* retries that may go */
	TimestampTz tokens_at;
} Gate;

static HTAB *gates = NULL;

static Gate *
gate_of(int32 endpoint_id)
{
	bool		found;
	Gate	   *gate;

	if (gates == NULL)
	{
		HASHCTL		control = {0};

		control.hcxt = TopMemoryContext;
		control.keysize = sizeof(int32);
		control.entrysize = sizeof(Gate);
		gates = hash_create("wf gates", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	gate = hash_search(gates, &endpoint_id, HASH_ENTER, &found);
	if (!found)
	{
		gate->line_end = 0;
		gate->tokens = BUDGET_PER_MINUTE;
		gate->tokens_at = wf_now();
	}

	return gate;
}

/*
 * What tests have spent, or are to begin with.
 */
void
wf_gate_forget(void)
{
	if (gates != NULL)
		hash_destroy(gates);
	gates = NULL;
}

/*
 * When the next one in line for an endpoint may come back: step_us after the
 * one before, at most span_us after it opens.
 */
TimestampTz
wf_gate_line(int32 endpoint_id, TimestampTz opens_at, int64 step_us, int64 span_us)
{
	Gate	   *gate = gate_of(endpoint_id);

	gate->line_end = Max(gate->line_end + step_us, opens_at);
	if (gate->line_end > opens_at + span_us)
		gate->line_end = opens_at;

	return gate->line_end;
}

static bool
waits(WfWait *wait, TimestampTz until, const char *waiting_on, const char *message)
{
	wait->until = until;
	wait->waiting_on = waiting_on;
	wait->message = message;

	return true;
}

static bool
is_paused(const WfEndpoint *endpoint, TimestampTz now, WfWait *wait)
{
	const WfFlow *flow = &endpoint->flow;

	if (flow->is_paused)
		return waits(wait, now + PAUSE_LOOK_US, "paused", "the endpoint is paused");
	if (flow->pause_until > now)
		return waits(wait, wf_gate_line(endpoint->endpoint_id, flow->pause_until,
										LINE_STEP_US, LINE_SPAN_US),
					 "rate_limit", "the endpoint asked for a pause");

	return false;
}

/*
 * While one call decides, the longer that takes the less often others look.
 */
static bool
is_broken(const WfEffect *effect, const WfEndpoint *endpoint, TimestampTz now, WfWait *wait)
{
	const WfFlow *flow = &endpoint->flow;
	TimestampTz opens_at = flow->breaker_until;

	if (wf_breaker_take_probe(effect, endpoint))
		return false;
	if (opens_at <= now || flow->breaker == WF_BREAKER_HALF_OPEN)
		opens_at = now + Max(PROBE_LOOK_US, Min(now - flow->breaker_since, LINE_SPAN_US));

	return waits(wait, wf_gate_line(endpoint->endpoint_id, opens_at, LINE_STEP_US,
									endpoint->breaker_cooldown_us),
				 "breaker", "the endpoint answers with failures only");
}

/*
 * First attempts pay in, retries take out.
 */
static bool
is_over_budget(const WfEffect *effect, const WfEndpoint *endpoint, TimestampTz now, WfWait *wait)
{
	Gate	   *gate = gate_of(endpoint->endpoint_id);
	double		per_us = BUDGET_PER_MINUTE / (60.0 * USECS_PER_SEC);

	if (gate->tokens < BUDGET_PER_MINUTE && now > gate->tokens_at)
		gate->tokens = Min(BUDGET_PER_MINUTE,
						   gate->tokens + (double) (now - gate->tokens_at) * per_us);
	gate->tokens_at = now;
	if (effect->attempts == 0)
		gate->tokens = Min(BUDGET_MOST, gate->tokens + BUDGET_SHARE);
	if (effect->attempts == 0 || effect->unknown_attempts > 0)
		return false;
	if (gate->tokens < 1)
		return waits(wait, wf_gate_line(endpoint->endpoint_id,
										now + (int64) ((1 - gate->tokens) / per_us) + 1,
										BUDGET_LOOK_US, BUDGET_SPAN_US),
					 "retry", "the retry budget of the endpoint is used up");
	gate->tokens -= 1;

	return false;
}

/*
 * A retry was answered, and not with a failure.
 */
void
wf_gate_give_back(const WfEffect *effect, const WfEndpoint *endpoint)
{
	Gate	   *gate = gate_of(endpoint->endpoint_id);

	if (effect->attempts > 1 && effect->unknown_attempts == 0)
		gate->tokens = Min(BUDGET_MOST, gate->tokens + 1);
}

/*
 * Whether the endpoint does not take the effect now; then *wait says until when
 * and why.  To be asked last: what passes counts as a call.
 */
bool
wf_gate_stops(const WfEffect *effect, const WfEndpoint *endpoint, WfWait *wait)
{
	TimestampTz now = wf_now();

	if (is_paused(endpoint, now, wait))
		return true;
	if (endpoint->flow.breaker != WF_BREAKER_CLOSED && wf_breaker_is_on(endpoint))
		return is_broken(effect, endpoint, now, wait);

	return is_over_budget(effect, endpoint, now, wait);
}
