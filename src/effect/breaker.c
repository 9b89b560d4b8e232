/*
 * breaker.c
 *	  Circuit breakers: an endpoint that only fails is left alone for a while.
 *
 *		closed --too many failures--> open --cool-down over--> half_open
 *		   ^                            ^                          |
 *		   |                            +------the one failed------+
 *		   +---------------------------------the one went well-----+
 *
 * The state is a row of workflow.endpoint, written only when it changes, in the
 * transaction that records why; so it outlives restarts and is one for all
 * processes.  What is counted on the way there is each process's own, and
 * counted anew whenever the state has changed.
 *
 * While half_open exactly one effect's call is under way.  Should its sender
 * vanish, the effect is not sending any more, and another one takes its place.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PHASE_NOT_SENT	0
#define PHASE_SENT		1

#define SLOTS				6	/* parts of a window */
#define FEWEST_CALLS		20	/* of which a share means something */
#define LONGEST_COOLDOWN_US (INT64CONST(300) * 1000000)
#define PROBE_SLACK_US		(INT64CONST(60) * 1000000)

typedef struct Slot
{
	int64		number;			/* time in parts of a window */
	int			ncalls;
	int			nfailures;
} Slot;

typedef struct Counts
{
	int32		endpoint_id;	/* hash key */
	TimestampTz since;			/* of the state that this was counted in */
	int			in_a_row;
	Slot		slots[SLOTS];
} Counts;

static HTAB *all_counts = NULL;

/* Both are rare, and stand in sql/effect.sql. */
static WfPlan take_probe_plan = {
	.name = "take probe of breaker",
	.expected = SPI_OK_SELECT,
	.nargs = 3,
	.argtypes = {INT4OID, INT8OID, TIMESTAMPTZOID},
	.sql = "SELECT workflow._take_probe($1::int4, $2::int8, $3::timestamptz)",
};

static WfPlan turn_plan = {
	.name = "turn breaker",
	.expected = SPI_OK_SELECT,
	.nargs = 5,
	.argtypes = {INT4OID, INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID},
	.sql = "SELECT workflow._turn_breaker($1::int4, $2::int8, $3::text, $4::timestamptz, $5::text)",
};

bool
wf_breaker_is_on(const WfEndpoint *endpoint)
{
	return endpoint->breaker_failures > 0 || endpoint->breaker_percent > 0;
}

static Counts *
counts_of(const WfEndpoint *endpoint)
{
	bool		found;
	Counts	   *counts;

	if (all_counts == NULL)
	{
		HASHCTL		control = {0};

		control.hcxt = TopMemoryContext;
		control.keysize = sizeof(int32);
		control.entrysize = sizeof(Counts);
		all_counts = hash_create("wf breakers", 16, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	counts = hash_search(all_counts, &endpoint->endpoint_id, HASH_ENTER, &found);
	if (!found || counts->since != endpoint->flow.breaker_since)
	{
		memset(counts, 0, sizeof(Counts));
		counts->endpoint_id = endpoint->endpoint_id;
		counts->since = endpoint->flow.breaker_since;
	}

	return counts;
}

/*
 * What tests have counted, or are to begin with.
 */
void
wf_breaker_forget(void)
{
	if (all_counts != NULL)
		hash_destroy(all_counts);
	all_counts = NULL;
}

/*
 * What says that the endpoint works, or does not; a 4xx says that it does.
 * What is wrong on this side of the network says nothing.
 */
static bool
says_something(const WfFacts *facts)
{
	WfEndpoint	any = {.dedup = WF_DEDUP_PURE};
	WfVerdict	verdict;

	if (facts->phase != PHASE_NOT_SENT)
		return true;
	verdict = wf_classify(facts, &any);

	return verdict.action == WF_ACT_RETRY && verdict.is_charged;
}

static bool
is_failure(const WfFacts *facts, const WfEndpoint *endpoint)
{
	if (facts->phase == PHASE_NOT_SENT || facts->phase == PHASE_SENT)
		return true;

	return facts->status >= 500 && !list_member_int(endpoint->already_done, facts->status);
}

static void
count(Counts *counts, int64 window_us, bool failed)
{
	int64		number = wf_now() / Max(window_us / SLOTS, 1);
	Slot	   *slot = &counts->slots[number % SLOTS];

	if (slot->number != number)
	{
		slot->number = number;
		slot->ncalls = slot->nfailures = 0;
	}
	slot->ncalls++;
	slot->nfailures += failed ? 1 : 0;
	counts->in_a_row = failed ? counts->in_a_row + 1 : 0;
}

/*
 * Why the breaker opens; NULL when it need not.
 */
static char *
why_open(const Counts *counts, const WfEndpoint *endpoint)
{
	int64		now = wf_now() / Max(endpoint->breaker_window_us / SLOTS, 1);
	int			ncalls = 0;
	int			nfailures = 0;

	if (endpoint->breaker_failures > 0 && counts->in_a_row >= endpoint->breaker_failures)
		return psprintf("%d calls in a row failed", counts->in_a_row);
	for (int i = 0; i < SLOTS; i++)
	{
		if (counts->slots[i].number <= now - SLOTS)
			continue;
		ncalls += counts->slots[i].ncalls;
		nfailures += counts->slots[i].nfailures;
	}
	if (endpoint->breaker_percent > 0 && ncalls >= FEWEST_CALLS &&
		nfailures * 100 >= ncalls * endpoint->breaker_percent)
		return psprintf("%d of the last %d calls failed", nfailures, ncalls);

	return NULL;
}

/*
 * Doubles with each time that it opens again, up to five minutes; a fifth of it
 * is left to chance.
 */
static TimestampTz
end_of_cooldown(const WfEndpoint *endpoint)
{
	int			doublings = Min(endpoint->flow.breaker_openings, 20);
	int64		longest = Max(LONGEST_COOLDOWN_US, endpoint->breaker_cooldown_us);
	double		us = (double) endpoint->breaker_cooldown_us * (1 << doublings);

	return wf_now() + (int64) (Min(us, (double) longest) *
							   (1 - 0.2 * pg_prng_double(&pg_global_prng_state)));
}

/*
 * Changes the state, if it still is what it was; nobody waits for the row.
 */
static void
turn(const WfEffect *effect, const WfEndpoint *endpoint, const char *state, const char *reason)
{
	bool		opens = strcmp(state, "open") == 0;
	Datum		values[5] = {
		Int32GetDatum(endpoint->endpoint_id), Int64GetDatum(effect->effect_id),
		CStringGetTextDatum(state), opens ? TimestampTzGetDatum(end_of_cooldown(endpoint)) : 0,
		CStringGetTextDatum(reason)
	};

	wf_plan_execute(&turn_plan, values, opens ? NULL : "   n ");
}

static bool
is_probe(const WfEffect *effect, const WfEndpoint *endpoint)
{
	return endpoint->flow.breaker == WF_BREAKER_HALF_OPEN &&
		endpoint->flow.breaker_probe == effect->effect_id;
}

/*
 * Whether this effect's call is the one that shows if the endpoint works again.
 */
bool
wf_breaker_take_probe(const WfEffect *effect, const WfEndpoint *endpoint)
{
	const WfFlow *flow = &endpoint->flow;
	int			timeout_ms = effect->timeout_ms > 0 ? effect->timeout_ms : endpoint->timeout_ms;
	Datum		values[3] = {
		Int32GetDatum(endpoint->endpoint_id), Int64GetDatum(effect->effect_id),
		TimestampTzGetDatum(wf_now() + (int64) timeout_ms * 1000 + PROBE_SLACK_US)
	};

	if (flow->breaker == WF_BREAKER_OPEN && flow->breaker_until > wf_now())
		return false;
	wf_plan_execute(&take_probe_plan, values, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

/*
 * Takes note of how a call to an endpoint went.
 */
void
wf_breaker_note(const WfEffect *effect, const WfEndpoint *endpoint, const WfFacts *facts)
{
	bool		failed = is_failure(facts, endpoint);
	Counts	   *counts;
	char	   *reason;

	if (!wf_breaker_is_on(endpoint) || !says_something(facts))
		return;
	if (is_probe(effect, endpoint))
		turn(effect, endpoint, failed ? "open" : "closed",
			 failed ? "the call that was to show it failed, too" : "a call went well");
	if (endpoint->flow.breaker != WF_BREAKER_CLOSED)
		return;
	counts = counts_of(endpoint);
	count(counts, endpoint->breaker_window_us, failed);
	reason = failed ? why_open(counts, endpoint) : NULL;
	if (reason != NULL)
		turn(effect, endpoint, "open", reason);
}

/*
 * The same for an action that somebody else carried out: it only counts when it
 * was the one to show whether the endpoint works again.
 */
void
wf_breaker_note_guard(const WfEffect *effect, const WfEndpoint *endpoint, bool is_well)
{
	if (is_probe(effect, endpoint))
		turn(effect, endpoint, is_well ? "closed" : "open",
			 is_well ? "an action went well" : "the action that was to show it failed, too");
}
