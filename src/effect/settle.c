/*
 * settle.c
 *	  Writing down what became of an attempt.
 *
 * One place turns a verdict into the effect's new state, its row in
 * workflow.attempt and the outcome that its job follows.  The row is locked by
 * the caller, so nobody else decides at the same time.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/point.h"
#include "base/rows.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "effect/model.h"
#include "effect/verify.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#define MAX_REASON_LENGTH 500

static WfPlan settle_plan = {
	.name = "settle effect",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 16,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
		TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID,
		BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
	INT8ARRAYOID},
	.sql = "UPDATE workflow.effect AS e SET state = s.state, substate = s.substate, "
	"charged = s.charged, unknown_attempts = s.unknown_attempts, next_at = s.next_at, "
	"status = coalesce(s.status, e.status), "
	"external_id = coalesce(s.external_id, e.external_id), "
	"previous = coalesce(e.previous, s.previous), "
	"response = coalesce(s.response, e.response), "
	"response_raw = coalesce(s.response_raw, e.response_raw), error_class = s.error_class, "
	"reason = s.reason, finished_at = s.finished_at, cause = s.cause, "
	"model_output_id = coalesce(s.model_output_id, e.model_output_id), token = NULL, "
	"session_pid = NULL, session_start = NULL "
	"FROM unnest($1::int8[], $2::text[], $3::text[], $4::int4[], $5::int4[], "
	"$6::timestamptz[], $7::int4[], $8::text[], $9::jsonb[], $10::jsonb[], $11::bytea[], "
	"$12::text[], $13::text[], $14::timestamptz[], $15::text[], $16::int8[]) "
	"AS s (effect_id, state, substate, charged, unknown_attempts, next_at, status, "
	"external_id, previous, response, response_raw, error_class, reason, finished_at, "
	"cause, model_output_id) WHERE e.effect_id = s.effect_id",
};

static WfPlan note_doubt_plan = {
	.name = "note doubt about effect",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.effect SET unknown_at = $2::timestamptz WHERE effect_id = $1::int8",
};

static const struct
{
	WfDisposition disposition;
	const char *state;
	const char *attempt_outcome;
}			dispositions[] = {
	{WF_EFFECT_SUCCEEDED, "succeeded", "ok"},
	{WF_EFFECT_FAILED, "failed", "dead"},
	{WF_EFFECT_AGAIN, "pending", "retry"},
	{WF_EFFECT_BEFORE_DONE, "pending", "ok"},
	{WF_EFFECT_UNKNOWN, "unknown", "unknown"},
	{WF_EFFECT_HELD, "held", "held"},
	{WF_EFFECT_BLOCKED, "blocked", "blocked"},
	{WF_EFFECT_DEAD, "dead", "dead"},
};

WfLedgerPage *
wf_ledger_page(void)
{
	WfLedgerPage *page = palloc(sizeof(WfLedgerPage));

	page->at = wf_now();
	page->effects = wf_rows_make(&settle_plan);
	page->attempts = wf_attempt_rows();

	return page;
}

void
wf_ledger_write(WfLedgerPage *page)
{
	wf_rows_execute(page->effects);
	WF_POINT(effects_settled);
	wf_rows_execute(page->attempts);
}

static const char *
state_of(WfDisposition disposition)
{
	for (int i = 0; i < lengthof(dispositions); i++)
		if (dispositions[i].disposition == disposition)
			return dispositions[i].state;
	elog(ERROR, "disposition %d has no state", disposition);
	return NULL;
}

static const char *
attempt_outcome(WfDisposition disposition, WfEvidence evidence)
{
	if (evidence == WF_NOT_KNOWN &&
		(disposition == WF_EFFECT_AGAIN || disposition == WF_EFFECT_SUCCEEDED))
		return "unknown";
	for (int i = 0; i < lengthof(dispositions); i++)
		if (dispositions[i].disposition == disposition)
			return dispositions[i].attempt_outcome;

	return "unknown";
}

/*
 * The ALTER SERVER that would let a refused address pass.
 */
static char *
address_cure(const WfEndpoint *endpoint, const char *ranges)
{
	StringInfoData all;
	ListCell   *cell;

	if (ranges == NULL)
		return psprintf("ALTER SERVER %s OPTIONS (ADD allow_http 'true')",
						quote_identifier(endpoint->name));
	initStringInfo(&all);
	foreach(cell, endpoint->allow_private)
		appendStringInfo(&all, "%s,", (char *) lfirst(cell));
	appendStringInfoString(&all, ranges);

	return psprintf("ALTER SERVER %s OPTIONS (%s allow_private %s)",
					quote_identifier(endpoint->name),
					endpoint->allow_private == NIL ? "ADD" : "SET",
					quote_literal_cstr(all.data));
}

/*
 * One line for people; NULL on success.
 */
static char *
explain(const WfEndpoint *endpoint, const WfNews *news)
{
	const WfExchange *exchange = news->exchange;
	StringInfoData text;

	if (news->explanation != NULL)
		return pstrdup(news->explanation);
	if (news->verdict.error_class == NULL)
		return NULL;
	initStringInfo(&text);
	if (exchange != NULL && exchange->status > 0)
		appendStringInfo(&text, "HTTP %d: ", exchange->status);
	appendStringInfoString(&text, news->verdict.message == NULL ?
						   news->verdict.error_class : news->verdict.message);
	if (exchange != NULL && exchange->refused_by_guard)
		appendStringInfo(&text, ": %s", address_cure(endpoint, exchange->refused_ranges));
	else if (exchange != NULL && exchange->error != NULL)
		appendStringInfo(&text, ": %s", exchange->error);

	return pnstrdup(text.data, pg_mbcliplen(text.data, text.len, MAX_REASON_LENGTH));
}

static bool
is_final(WfDisposition disposition)
{
	return disposition == WF_EFFECT_SUCCEEDED || disposition == WF_EFFECT_FAILED ||
		disposition == WF_EFFECT_DEAD;
}

static const char *
new_substate(const WfNews *news, WfDisposition disposition)
{
	if (news->verdict.substate != NULL)
		return news->verdict.substate;

	return disposition == WF_EFFECT_AGAIN && news->verdict.evidence == WF_NOT_KNOWN ?
		"unknown" : NULL;
}

/*
 * Whether the answer is not that of the action.
 */
static bool
is_of_reading(const WfEffect *effect, const WfEffectOutcome *outcome)
{
	if (wf_effect_is_verification(effect))
		return wf_effect_is(effect, "claimed");

	return outcome->disposition == WF_EFFECT_BEFORE_DONE;
}

/*
 * Whether the effect succeeded, but not by this exchange.
 */
static bool
has_succeeded_before(const WfNews *news, const WfEffectOutcome *outcome)
{
	return outcome->disposition == WF_EFFECT_SUCCEEDED && news->verdict.evidence != WF_APPLIED;
}

static void
set_answer(const WfEffect *effect, const WfNews *news, const WfEffectOutcome *outcome,
		   Datum *values, char *nulls)
{
	bool		is_before = is_of_reading(effect, outcome);
	bool		keeps = !is_before && !has_succeeded_before(news, outcome) &&
	(outcome->disposition != WF_EFFECT_AGAIN || wf_has_lost_answer(&news->verdict)) &&
	(news->finding == WF_FINDING_NONE || news->finding == WF_FINDING_FOUND);

	values[0] = PointerGetDatum(news->answer.response);
	nulls[0] = is_before ? WF_NULL_FLAG(news->answer.response) : 'n';
	values[1] = PointerGetDatum(news->answer.response);
	nulls[1] = keeps ? WF_NULL_FLAG(news->answer.response) : 'n';
	values[2] = PointerGetDatum(news->answer.raw);
	nulls[2] = keeps ? WF_NULL_FLAG(news->answer.raw) : 'n';
}

/*
 * What a blocked effect waits for to change.  After an exchange that is what
 * the attempt went by; when it has changed meanwhile, the effect is looked at
 * again at once.
 */
static const char *
cause_to_keep(const WfEffect *effect, const WfEndpoint *endpoint, const WfNews *news,
			  const WfEffectOutcome *outcome)
{
	const char *now;

	if (outcome->disposition != WF_EFFECT_BLOCKED)
		return NULL;
	now = wf_cause(endpoint, effect->submitted_by);
	if (news->exchange == NULL || effect->cause == NULL)
		return now;
	if (strcmp(effect->cause, now) != 0)
		wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);

	return effect->cause;
}

static void
add_settlement(WfLedgerPage *page, const WfEffect *effect, const char *cause,
			   const WfNews *news, const WfSettlement *settlement,
			   const WfEffectOutcome *outcome)
{
	const char *substate = settlement->substate != NULL ? settlement->substate :
	new_substate(news, outcome->disposition);
	const char *external_id = news->external_id != NULL ? news->external_id :
	settlement->external_id;
	Datum		values[16];
	char		nulls[17];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = CStringGetTextDatum(state_of(outcome->disposition));
	values[2] = wf_text_datum(substate);
	nulls[2] = WF_NULL_FLAG(substate);
	values[3] = Int32GetDatum(effect->charged + (settlement->is_charged ? 1 : 0));
	values[4] = Int32GetDatum(settlement->unknown_attempts);
	values[5] = TimestampTzGetDatum(outcome->next_at);
	nulls[5] = outcome->next_at == 0 ? 'n' : ' ';
	values[6] = Int32GetDatum(news->exchange == NULL || has_succeeded_before(news, outcome) ?
							  0 : news->exchange->status);
	nulls[6] = DatumGetInt32(values[6]) == 0 ? 'n' : ' ';
	values[7] = wf_text_datum(external_id);
	nulls[7] = WF_NULL_FLAG(external_id);
	set_answer(effect, news, outcome, &values[8], &nulls[8]);
	values[11] = wf_text_datum(outcome->error_class);
	nulls[11] = WF_NULL_FLAG(outcome->error_class);
	values[12] = wf_text_datum(outcome->message);
	nulls[12] = WF_NULL_FLAG(outcome->message);
	values[13] = TimestampTzGetDatum(page->at);
	nulls[13] = is_final(outcome->disposition) ? ' ' : 'n';
	values[14] = wf_text_datum(cause);
	nulls[14] = WF_NULL_FLAG(cause);
	values[15] = Int64GetDatum(news->model_output_id);
	nulls[15] = news->model_output_id == 0 ? 'n' : ' ';
	wf_rows_add(page->effects, values, nulls);
}

static void
note_doubt(const WfEffect *effect)
{
	Datum		values[2] = {
		Int64GetDatum(effect->effect_id), TimestampTzGetDatum(wf_wire_now())
	};

	wf_plan_execute(&note_doubt_plan, values, NULL);
}

/*
 * It is proven that nothing sent so far was applied; the policy may say that
 * nothing more is to be tried.
 */
static WfSettlement
settle_absent(const WfEffect *effect, const WfRetryPolicy *policy)
{
	WfSettlement settlement = {0};

	settlement.disposition = effect->charged >= policy->max_attempts ?
		WF_EFFECT_DEAD : WF_EFFECT_AGAIN;

	return settlement;
}

/*
 * Whether an effect ends by a settlement, or would be sent once more although
 * no answer is waited for.
 */
static bool
ends_in_doubt(const WfEffect *effect, const WfNews *news, const WfSettlement *settlement)
{
	if (news->verdict.evidence == WF_APPLIED)
		return false;
	if (settlement->unknown_attempts == 0 && effect->unknown_attempts == 0)
		return false;
	if (settlement->disposition == WF_EFFECT_AGAIN)
		return news->finding == WF_FINDING_ABSENT || strcmp(effect->kind, "guard") == 0;

	return settlement->disposition == WF_EFFECT_FAILED ||
		settlement->disposition == WF_EFFECT_DEAD || settlement->disposition == WF_EFFECT_HELD;
}

/*
 * What was once answered with success, or shown by evidence while it was under
 * way, was applied, whatever comes of the sends and lookups that were to fetch
 * the answer.
 */
static void
remember_success(const WfEffect *effect, const WfNews *news, WfSettlement *settlement)
{
	const char *substate;
	char	   *reference;

	if (!ends_in_doubt(effect, news, settlement))
		return;
	substate = wf_known_success(effect, &reference);
	if (substate == NULL ||
		(effect->unknown_attempts == 0 && strcmp(substate, "resolved") != 0))
		return;
	settlement->disposition = WF_EFFECT_SUCCEEDED;
	settlement->unknown_attempts = 0;
	settlement->substate = substate;
	if (strcmp(substate, "resolved") == 0)
	{
		settlement->external_id = reference;
		settlement->message = psprintf("evidence: %s", reference == NULL ? "-" : reference);
	}
}

static WfSettlement
decide(const WfEffect *effect, const WfEndpoint *endpoint, const WfNews *news)
{
	WfRetryPolicy *policy = news->policy == NULL ? wf_default_policy() :
	wf_policy_from_jsonb(news->policy, NULL);
	double		random01 = pg_prng_double(&pg_global_prng_state);
	WfSettlement settlement = wf_settle(&news->verdict, endpoint, effect, policy,
										news->retry_after_us, random01);

	if (wf_effect_is(effect, "claimed") && settlement.disposition == WF_EFFECT_SUCCEEDED)
	{
		settlement.disposition = WF_EFFECT_BEFORE_DONE;
		settlement.is_charged = false;
		settlement.unknown_attempts = effect->unknown_attempts;
	}

	if (settlement.disposition == WF_EFFECT_UNKNOWN && news->finding != WF_FINDING_NONE)
		settlement.delay_us = Max(news->retry_after_us,
								  wf_lookup_delay_us(news->finding, effect, endpoint, random01));
	if (news->finding == WF_FINDING_ABSENT && news->verdict.settles_all)
		settlement = settle_absent(effect, policy);
	remember_success(effect, news, &settlement);

	return settlement;
}

/*
 * Whether it is known what became of the attempt, and a person is asked all
 * the same.
 */
static bool
has_target_changed(const WfNews *news)
{
	return news->verdict.substate != NULL &&
		strcmp(news->verdict.substate, WF_TARGET_CHANGED) == 0;
}

/*
 * Nobody sends a guard's action again but its caller; who reads of one that may
 * have been applied learns what ends it.
 */
static char *
add_what_ends_it(const WfEffect *effect, const WfNews *news, WfDisposition decided, char *message)
{
	if (strcmp(effect->kind, "guard") != 0 || decided != WF_EFFECT_AGAIN ||
		news->verdict.evidence != WF_NOT_KNOWN)
		return message;

	return psprintf("%s: workflow.begin_effect() with the same key does it again, or "
					"SELECT workflow.resolve(%lld, 'applied', 'how you know'); or 'not_applied' ends it",
					message, (long long) effect->effect_id);
}

/*
 * Adds what the news of an attempt make of its effect, and returns what its job
 * is to do.
 */
WfEffectOutcome
wf_effect_settle_on(WfLedgerPage *page, const WfEffect *effect, const WfEndpoint *endpoint,
					const WfNews *news)
{
	WfSettlement settlement = decide(effect, endpoint, news);
	WfDisposition decided = settlement.disposition;
	WfEffectOutcome outcome = {0};
	char	   *message = explain(endpoint, news);
	char	   *conclusion = wf_effect_is_verification(effect) ?
	wf_verification_go_on(effect, endpoint, news, message, &settlement) : NULL;

	outcome.effect_id = effect->effect_id;
	outcome.disposition = settlement.disposition;
	outcome.charged = settlement.is_charged;
	outcome.error_class = settlement.disposition == WF_EFFECT_SUCCEEDED ? NULL :
		news->verdict.error_class;
	outcome.message = conclusion != NULL ? conclusion :
		settlement.message != NULL ? settlement.message :
		add_what_ends_it(effect, news, decided, message);
	outcome.model_output_id = news->model_output_id;
	if (outcome.disposition == WF_EFFECT_AGAIN || outcome.disposition == WF_EFFECT_UNKNOWN)
		outcome.next_at = wf_now() + settlement.delay_us;
	if (outcome.disposition == WF_EFFECT_SUCCEEDED)
		outcome.result = news->result;
	if (outcome.disposition == WF_EFFECT_HELD && !has_target_changed(news))
		outcome.error_class = "unknown_outcome";

	add_settlement(page, effect, cause_to_keep(effect, endpoint, news, &outcome), news,
				   &settlement, &outcome);
	if (news->verdict.evidence == WF_NOT_KNOWN || wf_has_lost_answer(&news->verdict))
		note_doubt(effect);
	wf_model_end(effect, news);
	wf_effect_take_back_send(effect, news->exchange);
	wf_effect_note_attempt(page, effect, news,
						   attempt_outcome(decided, news->verdict.evidence), message);

	return outcome;
}

/*
 * The same, written at once.
 */
WfEffectOutcome
wf_effect_settle(const WfEffect *effect, const WfEndpoint *endpoint, const WfNews *news)
{
	WfLedgerPage *page = wf_ledger_page();
	WfEffectOutcome outcome = wf_effect_settle_on(page, effect, endpoint, news);

	wf_ledger_write(page);

	return outcome;
}

/*
 * Stops an effect, before anything was sent, until its cause changes.  No
 * attempt was made, so none is recorded.
 */
WfEffectOutcome
wf_effect_block(const WfEffect *effect, const WfEndpoint *endpoint,
				const char *error_class, const char *reason)
{
	WfLedgerPage *page = wf_ledger_page();
	WfNews		news = {.retry_after_us = -1};
	WfSettlement settlement = {.unknown_attempts = effect->unknown_attempts};
	WfEffectOutcome outcome = {0};

	outcome.effect_id = effect->effect_id;
	outcome.disposition = WF_EFFECT_BLOCKED;
	outcome.error_class = error_class;
	outcome.message = reason;
	add_settlement(page, effect, cause_to_keep(effect, endpoint, &news, &outcome), &news,
				   &settlement, &outcome);
	wf_ledger_write(page);

	return outcome;
}
