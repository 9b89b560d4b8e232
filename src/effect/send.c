/*
 * send.c
 *	  The step from an intent to a send.
 *
 * wf_effect_begin_send() writes "sending", with a new token, and hands out what
 * goes on the wire; its caller commits and flushes before a byte leaves.  The
 * read before an action is an exchange of its own: while it is under way the
 * effect is "claimed", because nothing has been done yet.  So is the lookup of
 * an action of unknown outcome; that one stays "unknown", and is probing.
 *
 * Everything that may have changed since the intent is checked again here: the
 * grant, the server, the secrets, the settings, the window of the key.  A guard
 * (begin_effect) whose action somebody else carries out passes the same checks.
 *
 * Whether a sender is alive, and until when it has time, goes by the real clock
 * whatever pg_workflow.clock says: senders and receivers live in real time.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* After its timeout a send has this long to be recorded. */
#define RECORD_SLACK_US	(INT64CONST(60) * 1000000)

/* Who waits for a rate limit comes back within so long after it opens. */
#define LONGEST_LINE_US	(INT64CONST(60) * 1000000)

/* How soon to look again at a row that somebody holds. */
#define BUSY_US			(INT64CONST(100) * 1000)

/* How long a job waits before it looks again at an effect that another sends. */
#define LOOK_AGAIN_US	(INT64CONST(5) * 1000000)

static WfPlan mark_sending_plan = {
	.name = "mark sending",
	.expected = SPI_OK_UPDATE,
	.nargs = 11,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID},
	.sql = "UPDATE workflow.effect SET state = $2::text, substate = $3::text, "
	"token = $4::text, worker = $5::text, session_pid = $6::int4, "
	"session_start = $7::timestamptz, sending_at = $8::timestamptz, "
	"deadline = $9::timestamptz, next_at = NULL, "
	"attempts = attempts + CASE WHEN $2::text = 'sending' THEN 1 ELSE 0 END, "
	"error_class = NULL, reason = NULL, cause = $11::text, finished_at = NULL, "
	"first_sent_at = CASE WHEN $2::text = 'sending' "
	"THEN coalesce(first_sent_at, $10::timestamptz) ELSE first_sent_at END "
	"WHERE effect_id = $1::int8",
};

/*
 * GCRA: a limit of n in a time is n at once, then one each time/n.  A guard may
 * hold the row for as long as its transaction lasts: nobody waits for that.
 */
static WfPlan take_rate_plan = {
	.name = "take from rate limit",
	.expected = SPI_OK_UPDATE_RETURNING,
	.nargs = 4,
	.argtypes = {INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID},
	.sql = "UPDATE workflow.endpoint SET rate_next_at = "
	"greatest(coalesce(rate_next_at, $2::timestamptz), $2::timestamptz) "
	"+ $3::int8 * interval '1 microsecond' "
	"WHERE endpoint_id = (SELECT p.endpoint_id FROM workflow.endpoint AS p "
	"WHERE p.endpoint_id = $1::int4 FOR NO KEY UPDATE SKIP LOCKED) "
	"AND (rate_next_at IS NULL OR rate_next_at "
	"<= $2::timestamptz + ($4::int8 - $3::int8) * interval '1 microsecond') "
	"RETURNING rate_next_at",
};

static WfPlan rate_next_plan = {
	.name = "next of rate limit",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT4OID},
	.sql = "SELECT rate_next_at FROM workflow.endpoint WHERE endpoint_id = $1::int4",
};

/*
 * Writes that an attempt begins.  The row is locked by the caller.
 */
static void
mark_sending(const WfEffect *effect, const WfWire *wire, const char *worker,
			 bool bound_to_session)
{
	static const char *const states[] = {"sending", "claimed", "unknown"};
	static const char *const substates[] = {NULL, "before", "probing"};
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[11];
	char		nulls[12];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = CStringGetTextDatum(states[wire->kind]);
	values[2] = wf_text_datum(substates[wire->kind]);
	nulls[2] = WF_NULL_FLAG(substates[wire->kind]);
	values[3] = CStringGetTextDatum(wire->token);
	values[4] = wf_text_datum(worker);
	nulls[4] = WF_NULL_FLAG(worker);
	values[5] = Int32GetDatum(MyProcPid);
	values[6] = TimestampTzGetDatum(MyStartTimestamp);
	nulls[5] = nulls[6] = bound_to_session ? ' ' : 'n';
	values[7] = TimestampTzGetDatum(wf_now());
	values[8] = TimestampTzGetDatum(now + (int64) wire->timeout_ms * 1000 + RECORD_SLACK_US);
	values[9] = TimestampTzGetDatum(now);
	values[10] = wf_text_datum(wire->cause);
	nulls[10] = WF_NULL_FLAG(wire->cause);
	wf_plan_execute(&mark_sending_plan, values, nulls);
}

static WfEffectOutcome
wait_until(const WfEffect *effect, TimestampTz next_at, const char *error_class,
		   const char *message)
{
	WfEffectOutcome outcome = {0};

	outcome.effect_id = effect->effect_id;
	outcome.disposition = WF_EFFECT_AGAIN;
	outcome.next_at = next_at;
	outcome.error_class = error_class;
	outcome.message = message;

	return outcome;
}

/*
 * Whether the state lets an attempt begin; else fills in where it stands.
 */
static bool
may_begin(const WfEffect *effect, WfEffectOutcome *outcome)
{
	bool		waits = wf_effect_is(effect, "pending") ||
	(wf_effect_is(effect, "unknown") && effect->token == NULL);

	if (waits && effect->next_at > wf_now())
	{
		*outcome = wait_until(effect, effect->next_at, effect->error_class, effect->reason);
		return false;
	}
	if (waits || wf_effect_is(effect, "blocked"))
		return true;

	*outcome = wf_outcome_of(effect);
	if (outcome->disposition == WF_EFFECT_UNKNOWN)
		outcome->next_at = wf_now() + LOOK_AGAIN_US;

	return false;
}

static void
log_dry_run(const WfEffect *effect, const WfEndpoint *endpoint)
{
	ereport(LOG,
			(errmsg("pg_workflow dry run: effect %lld would send %s %s%s to endpoint \"%s\"",
					(long long) effect->effect_id,
					effect->method == NULL ? "something to" : effect->method, endpoint->url,
					effect->path == NULL ? "" : effect->path, endpoint->name),
			 errdetail("Its key is \"%s\".", effect->key)));
}

/*
 * Returns why nothing may be sent for the present; NULL when it may.
 */
static char *
why_blocked(const WfEffect *effect, const WfEndpoint *endpoint)
{
	if (wf_effects_mode == WF_EFFECTS_OFF)
		return pstrdup("pg_workflow.effects is off");
	if (endpoint == NULL)
		return pstrdup("the foreign server of the endpoint does not exist");
	if (wf_effects_mode == WF_EFFECTS_DRY_RUN)
	{
		log_dry_run(effect, endpoint);
		return pstrdup("pg_workflow.effects is dry_run");
	}

	return wf_endpoint_refusal(endpoint, effect->submitted_by);
}

/*
 * After an unknown outcome a receiver is trusted to know the key for nine
 * tenths of its time.  A clock that was moved can only close the window.
 */
static bool
key_window_is_closed(const WfEffect *effect, const WfEndpoint *endpoint)
{
	if (effect->unknown_attempts == 0 || effect->first_sent_at == 0 ||
		endpoint->dedup != WF_DEDUP_KEY)
		return false;

	return Max(wf_now(), GetCurrentTimestamp()) + (int64) endpoint->timeout_ms * 1000 >
		effect->first_sent_at + endpoint->key_ttl_us / 10 * 9;
}

/*
 * What comes before the next send.  An effect is "unknown" when it is not to
 * be sent before it was looked up, whatever the endpoint allows.
 */
static WfOnUnknown
next_step(const WfEffect *effect, const WfEndpoint *endpoint)
{
	bool		is_unknown = wf_effect_is(effect, "unknown");

	if (effect->unknown_attempts == 0 || endpoint->dedup == WF_DEDUP_PURE)
		return WF_UNKNOWN_RESEND;
	if (endpoint->on_unknown == WF_UNKNOWN_RESEND && !is_unknown &&
		!key_window_is_closed(effect, endpoint))
		return WF_UNKNOWN_RESEND;

	return wf_may_look_up(effect, endpoint) ? WF_UNKNOWN_PROBE : WF_UNKNOWN_HOLD;
}

/*
 * Returns why a person must look before anything more is sent; NULL when
 * nobody need.
 */
static char *
why_held(const WfEffect *effect, const WfEndpoint *endpoint)
{
	WfOnUnknown step = next_step(effect, endpoint);
	char	   *problem = NULL;

	if (step == WF_UNKNOWN_PROBE)
		(void) wf_lookup_path(effect, endpoint, &problem);
	else if (step == WF_UNKNOWN_HOLD)
		problem = pstrdup(key_window_is_closed(effect, endpoint) ?
						  "the time for which the receiver knows the key is over" :
						  "an earlier attempt may have been applied");

	return problem;
}

static WfEffectOutcome
hold(const WfEffect *effect, const WfEndpoint *endpoint, const char *why)
{
	WfNews		news = {
		.verdict = {
			.evidence = WF_NOT_APPLIED,
			.action = WF_ACT_HOLD,
			.error_class = "unknown_outcome",
		},
		.retry_after_us = -1,
		.explanation = why,
	};

	return wf_effect_settle(effect, endpoint, &news);
}

/*
 * Takes one from the endpoint's rate limit; returns when to try again, or 0.
 */
static TimestampTz
take_from_rate_limit(const WfEndpoint *endpoint)
{
	TimestampTz now = wf_now();
	int64		step_us = endpoint->rate_count == 0 ? 0 :
	endpoint->rate_per_us / endpoint->rate_count;
	Datum		values[4] = {
		Int32GetDatum(endpoint->endpoint_id), TimestampTzGetDatum(now),
		Int64GetDatum(step_us), Int64GetDatum(endpoint->rate_per_us)
	};
	TimestampTz next_at;

	if (endpoint->rate_count == 0 || wf_plan_execute(&take_rate_plan, values, NULL) > 0)
		return 0;
	if (wf_plan_execute(&rate_next_plan, values, NULL) == 0)
		return 0;
	next_at = wf_result_is_null(0, 1) ? 0 :
		DatumGetTimestampTz(wf_result_datum(0, 1, NULL)) - (endpoint->rate_per_us - step_us);

	return Max(next_at, now + (next_at > now ? 0 : BUSY_US));
}

static bool
needs_read_before(const WfEffect *effect)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(effect->spec, "before");

	return before != NULL && JB_ROOT_IS_OBJECT(before) &&
		(effect->previous == NULL || wf_revert_needs_reading(effect));
}

static WfWire *
build_wire(const WfEffect *effect, const WfEndpoint *endpoint, WfEffectOutcome *outcome)
{
	WfWire	   *wire = palloc0(sizeof(WfWire));
	char	   *problem = NULL;

	if (next_step(effect, endpoint) == WF_UNKNOWN_PROBE)
		wire->kind = WF_EXCHANGE_PROBE;
	else if (needs_read_before(effect))
		wire->kind = WF_EXCHANGE_BEFORE;
	wire->token = wf_random_token();
	wire->attempt = effect->attempts + 1;
	wire->cause = wf_cause(endpoint, effect->submitted_by);
	wf_check_effect(effect, endpoint);
	if (wf_fill_wire(wire, effect, endpoint, &problem))
		return wire;
	*outcome = wf_effect_block(effect, endpoint, "unauthorized", problem);

	return NULL;
}

/*
 * Whether anything stands in the way of an attempt: then the effect is blocked
 * or held.
 */
static bool
is_stopped(const WfEffect *effect, const WfEndpoint *endpoint, WfEffectOutcome *outcome)
{
	char	   *reason = why_blocked(effect, endpoint);

	if (reason != NULL)
	{
		*outcome = wf_effect_block(effect, endpoint, "unauthorized", reason);
		return true;
	}
	reason = why_held(effect, endpoint);
	if (reason != NULL)
	{
		*outcome = hold(effect, endpoint, reason);
		return true;
	}

	return false;
}

static bool
is_rate_limited(const WfEffect *effect, const WfEndpoint *endpoint, WfEffectOutcome *outcome)
{
	TimestampTz next_at = take_from_rate_limit(endpoint);

	if (next_at == 0)
		return false;
	next_at = wf_gate_line(endpoint->endpoint_id, next_at,
						   endpoint->rate_per_us / endpoint->rate_count,
						   Max(endpoint->rate_per_us, LONGEST_LINE_US));
	*outcome = wait_until(effect, next_at, "rate_limited",
						  "the rate limit of the endpoint is reached");
	outcome->waiting_on = "rate_limit";

	return true;
}

/*
 * Whether the endpoint takes no call now.  That is no fault of the effect:
 * nothing is written about it.
 */
static bool
must_wait(const WfEffect *effect, const WfEndpoint *endpoint, WfEffectOutcome *outcome)
{
	WfWait		wait;

	if (!wf_gate_stops(effect, endpoint, &wait))
		return is_rate_limited(effect, endpoint, outcome);
	*outcome = wait_until(effect, wait.until, NULL, wait.message);
	outcome->waiting_on = wait.waiting_on;

	return true;
}

/*
 * The wire of the attempt that begins now; NULL, with the outcome, when none
 * may.
 */
static WfWire *
begin_attempt(const WfEffect *effect, const char *worker, WfEffectOutcome *outcome)
{
	WfEndpoint *endpoint = wf_endpoint_if_any(effect);
	WfWire	   *wire;

	if (is_stopped(effect, endpoint, outcome))
		return NULL;
	wire = build_wire(effect, endpoint, outcome);
	if (wire == NULL || must_wait(effect, endpoint, outcome))
		return NULL;
	mark_sending(effect, wire, worker, true);

	return wire;
}

/*
 * A guard's sender is outside: when its time is over, in real time, its outcome
 * is unknown.
 */
WfEffect *
wf_effect_give_up_overdue(WfEffect *effect)
{
	WfNews		news = {.retry_after_us = -1};
	WfFacts		facts = {.phase = 1};
	WfEndpoint *endpoint;

	if (!wf_effect_is(effect, "sending") || effect->deadline >= GetCurrentTimestamp())
		return effect;
	endpoint = wf_endpoint_of(effect);
	news.verdict = wf_classify(&facts, endpoint);
	news.verdict.message = "the sender did not report an outcome in time";
	(void) wf_effect_settle(effect, endpoint, &news);

	return wf_effect_lock(effect->effect_id);
}

/*
 * The same for an action that the caller carries out: the wire gets its token.
 * Returns false, with the outcome, when it may not begin.
 */
bool
wf_effect_begin_guarded(WfEffect *effect, WfWire *wire, WfEffectOutcome *outcome)
{
	WfEndpoint *endpoint = wf_endpoint_if_any(effect);

	if (!may_begin(effect, outcome) || is_stopped(effect, endpoint, outcome) ||
		must_wait(effect, endpoint, outcome))
		return false;
	wire->token = wf_random_token();
	wire->timeout_ms = endpoint->timeout_ms;
	mark_sending(effect, wire, effect->submitted_by, false);

	return true;
}

/*
 * Begins an attempt, or says where the effect stands.
 */
WfWire *
wf_effect_begin_send(int64 effect_id, const char *worker, WfEffectOutcome *outcome)
{
	MemoryContext caller = CurrentMemoryContext;
	WfEffect   *effect = wf_effect_try_lock(effect_id);
	WfWire	   *wire = NULL;

	memset(outcome, 0, sizeof(*outcome));
	outcome->effect_id = effect_id;
	outcome->disposition = WF_EFFECT_BUSY;
	outcome->next_at = wf_now() + BUSY_US;
	if (effect != NULL && may_begin(effect, outcome))
		wire = begin_attempt(effect, worker, outcome);
	if (wire == NULL)
		*outcome = wf_outcome_deliver(*outcome, caller);

	return wf_wire_deliver(wire, caller);
}
