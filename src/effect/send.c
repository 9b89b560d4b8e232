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
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "effect/model.h"
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
	.by_index = true,
	.nargs = 12,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		INT4ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
	.sql = "UPDATE workflow.effect AS e SET state = s.state, substate = s.substate, "
	"token = s.token, worker = s.worker, session_pid = s.session_pid, "
	"session_start = s.session_start, sending_at = s.at, "
	"deadline = s.deadline, next_at = NULL, "
	"attempts = e.attempts + CASE WHEN s.state = 'sending' THEN 1 ELSE 0 END, "
	"error_class = NULL, reason = NULL, cause = s.cause, finished_at = NULL, "
	"first_sent_at = CASE WHEN s.state = 'sending' "
	"THEN coalesce(e.first_sent_at, s.real_at) ELSE e.first_sent_at END, "
	"sent_to = CASE WHEN s.state = 'sending' AND (e.unknown_attempts = 0 OR e.sent_to IS NULL) "
	"THEN s.receiver ELSE e.sent_to END "
	"FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int4[], "
	"$7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], "
	"$12::text[]) "
	"AS s (effect_id, state, substate, token, worker, session_pid, session_start, at, "
	"deadline, real_at, cause, receiver) WHERE e.effect_id = s.effect_id",
};

/*
 * Adds that an attempt begins.  The row is locked by the caller.
 */
static void
add_sending(WfRows *rows, const WfEffect *effect, const WfWire *wire, const char *worker,
			bool bound_to_session)
{
	static const char *const states[] = {"sending", "claimed", "unknown"};
	static const char *const substates[] = {NULL, "before", "probing"};
	TimestampTz now = wf_wire_now();
	Datum		values[12];
	char		nulls[13];

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
	values[11] = CStringGetTextDatum(wire->receiver);
	wf_rows_add(rows, values, nulls);
}

static void
mark_sending(const WfEffect *effect, const WfWire *wire, const char *worker,
			 bool bound_to_session)
{
	WfRows	   *rows = wf_rows_make(&mark_sending_plan);

	add_sending(rows, effect, wire, worker, bound_to_session);
	wf_rows_execute(rows);
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
 * What goes on the wire; NULL, with the problem, when a secret is missing.
 */
static WfWire *
make_wire(const WfEffect *effect, const WfEndpoint *endpoint, const char *cause,
		  bool is_mocked, char **problem)
{
	WfWire	   *wire = palloc0(sizeof(WfWire));

	if (wf_next_step(effect, endpoint) == WF_UNKNOWN_PROBE)
		wire->kind = WF_EXCHANGE_PROBE;
	else if (wf_needs_read_before(effect))
		wire->kind = WF_EXCHANGE_BEFORE;
	wire->token = wf_random_token();
	wire->attempt = effect->attempts + 1;
	wire->cause = cause;
	wire->is_mocked = is_mocked;
	wf_check_effect(effect, endpoint);

	return wf_fill_wire(wire, effect, endpoint, problem) ? wire : NULL;
}

static WfWire *
build_wire(const WfEffect *effect, const WfEndpoint *endpoint, bool is_mocked,
		   WfEffectOutcome *outcome)
{
	char	   *problem = NULL;
	WfWire	   *wire = make_wire(effect, endpoint, wf_cause(endpoint, effect->submitted_by),
								 is_mocked, &problem);

	if (wire == NULL)
		*outcome = wf_effect_block(effect, endpoint, "unauthorized", problem);

	return wire;
}

/*
 * Whether anything stands in the way of an attempt: then the effect is blocked
 * or held.
 */
static bool
is_stopped(const WfEffect *effect, const WfEndpoint *endpoint, bool is_mocked,
		   WfEffectOutcome *outcome)
{
	char	   *reason = is_mocked ? wf_why_refused(effect, endpoint) :
	wf_why_blocked(effect, endpoint);

	if (reason != NULL)
	{
		*outcome = wf_effect_block(effect, endpoint, "unauthorized", reason);
		return true;
	}
	reason = wf_why_held(effect, endpoint);
	if (reason != NULL)
	{
		*outcome = hold(effect, endpoint, reason);
		return true;
	}

	return false;
}

static bool
is_rate_limited(const WfEffect *effect, const WfEndpoint *endpoint, bool is_mocked,
				WfEffectOutcome *outcome)
{
	TimestampTz next_at = wf_endpoint_take_rate(endpoint, is_mocked);

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
must_wait(const WfEffect *effect, const WfEndpoint *endpoint, bool is_mocked,
		  WfEffectOutcome *outcome)
{
	WfWait		wait;

	if (!wf_gate_stops(effect, endpoint, &wait))
		return is_rate_limited(effect, endpoint, is_mocked, outcome);
	*outcome = wait_until(effect, wait.until, NULL, wait.message);
	outcome->waiting_on = wait.waiting_on;

	return true;
}

/*
 * The wire of the attempt that begins now; NULL, with the outcome, when none
 * may.
 */
static WfWire *
begin_attempt(const WfEffect *effect, const char *worker, bool is_mocked,
			  WfEffectOutcome *outcome)
{
	WfEndpoint *endpoint = wf_endpoint_if_any(effect, NULL);
	WfWire	   *wire;

	if (is_stopped(effect, endpoint, is_mocked, outcome))
		return NULL;
	wire = build_wire(effect, endpoint, is_mocked, outcome);
	if (wire == NULL || wf_model_stops(effect, outcome))
		return NULL;
	if (must_wait(effect, endpoint, is_mocked, outcome))
	{
		wf_model_take_back(effect);
		return NULL;
	}
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

	if (!wf_effect_is(effect, "sending") || effect->deadline >= wf_wire_now())
		return effect;
	endpoint = wf_endpoint_of(effect, NULL);
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
	WfEndpoint *endpoint = wf_endpoint_if_any(effect, NULL);

	if (!may_begin(effect, outcome) || is_stopped(effect, endpoint, false, outcome) ||
		must_wait(effect, endpoint, false, outcome))
		return false;
	wire->token = wf_random_token();
	wire->receiver = endpoint->url;
	wire->timeout_ms = endpoint->timeout_ms;
	mark_sending(effect, wire, effect->submitted_by, false);

	return true;
}

/*
 * Begins an attempt, or says where the effect stands.
 */
static WfWire *
begin_send(int64 effect_id, const char *worker, bool is_mocked, WfEffectOutcome *outcome)
{
	MemoryContext caller = CurrentMemoryContext;
	WfEffect   *effect = wf_effect_try_lock(effect_id);
	WfWire	   *wire = NULL;

	memset(outcome, 0, sizeof(*outcome));
	outcome->effect_id = effect_id;
	outcome->disposition = WF_EFFECT_BUSY;
	outcome->next_at = wf_now() + BUSY_US;
	if (effect != NULL && may_begin(effect, outcome))
		wire = begin_attempt(effect, worker, is_mocked, outcome);
	if (wire == NULL)
		*outcome = wf_outcome_deliver(*outcome, caller);

	return wf_wire_deliver(wire, caller);
}

WfWire *
wf_effect_begin_send(int64 effect_id, const char *worker, WfEffectOutcome *outcome)
{
	return begin_send(effect_id, worker, false, outcome);
}

WfWire *
wf_effect_begin_mocked(int64 effect_id, const char *worker, WfEffectOutcome *outcome)
{
	return begin_send(effect_id, worker, true, outcome);
}

/*
 * Whether calls to the endpoint simply go: then the gate writes nothing.
 */
static bool
is_open(const WfEndpoint *endpoint)
{
	return !endpoint->flow.is_paused && endpoint->flow.pause_until <= wf_now() &&
		endpoint->flow.breaker == WF_BREAKER_CLOSED && endpoint->rate_count == 0;
}

/*
 * Whether an attempt may begin without anything else being written.
 */
static bool
is_unhindered(const WfEffect *effect, const WfEndpoint *endpoint)
{
	return wf_effects_mode == WF_EFFECTS_ON &&
		wf_effect_is(effect, "pending") && effect->next_at <= wf_now() &&
		is_open(endpoint) && strcmp(effect->kind, "model") != 0 && !wf_needs_read_before(effect) &&
		wf_next_step(effect, endpoint) == WF_UNKNOWN_RESEND &&
		wf_why_blocked(effect, endpoint) == NULL && wf_why_held(effect, endpoint) == NULL;
}

/*
 * The cause of a batch is taken once for an endpoint and role, before any of
 * their secrets is read.
 */
typedef struct Cause
{
	int32		endpoint_id;
	const char *role;
	const char *cause;
} Cause;

static const char *
cause_among(List **known, const WfEndpoint *endpoint, const char *role)
{
	Cause	   *cause;
	ListCell   *cell;

	foreach(cell, *known)
	{
		cause = lfirst(cell);
		if (cause->endpoint_id == endpoint->endpoint_id && strcmp(cause->role, role) == 0)
			return cause->cause;
	}
	cause = palloc(sizeof(Cause));
	cause->endpoint_id = endpoint->endpoint_id;
	cause->role = role;
	cause->cause = wf_cause(endpoint, role);
	*known = lappend(*known, cause);

	return cause->cause;
}

/*
 * Begins many attempts with two statements.
 */
void
wf_effect_begin_many(WfStart *starts, int n, const char *worker)
{
	MemoryContext caller = CurrentMemoryContext;
	WfEffect  **effects = palloc(sizeof(WfEffect *) * n);
	int64	   *ids = palloc(sizeof(int64) * n);
	WfRows	   *rows = wf_rows_make(&mark_sending_plan);
	List	   *endpoints = NIL;
	List	   *causes = NIL;

	for (int i = 0; i < n; i++)
		ids[i] = starts[i].effect_id;
	wf_effects_lock_to_send(effects, ids, n);
	for (int i = 0; i < n; i++)
	{
		const WfEffect *effect = effects[i];
		const WfEndpoint *endpoint = effect == NULL ? NULL :
		wf_endpoint_if_any(effect, &endpoints);
		char	   *problem;
		WfWire	   *wire;
		WfWait		wait;

		starts[i].wire = NULL;
		if (endpoint == NULL || !is_unhindered(effect, endpoint))
			continue;
		wire = make_wire(effect, endpoint,
						 cause_among(&causes, endpoint, effect->submitted_by), false, &problem);
		if (wire == NULL || wf_gate_stops(effect, endpoint, &wait))
			continue;
		add_sending(rows, effect, wire, worker, true);
		starts[i].wire = wf_wire_deliver(wire, starts[i].context);
		MemoryContextSwitchTo(caller);
	}
	wf_rows_execute(rows);
	MemoryContextSwitchTo(caller);
}
