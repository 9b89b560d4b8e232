/*
 * record.c
 *	  Recording what an exchange came to.
 *
 * Recording is fenced by the token of the attempt.  Whoever comes too late
 * adds evidence and changes nothing, unless it is the proof that an effect
 * has been applied that was thought not to be, or not known to be.
 *
 * Recorders hold what others wait for, and so wait for nobody themselves: a row
 * that somebody holds is recorded when it is free.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/model.h"
#include "utils/builtins.h"

/*
 * What is under way, as the state says.
 */
WfExchangeKind
wf_exchange_under_way(const WfEffect *effect)
{
	if (wf_effect_is(effect, "claimed"))
		return WF_EXCHANGE_BEFORE;

	return wf_effect_is(effect, "unknown") ? WF_EXCHANGE_PROBE : WF_EXCHANGE_ACTION;
}

/*
 * Returns an endpoint, looked up once for all who share the list; for less than a
 * transaction, in which servers may change.
 */
WfEndpoint *
wf_endpoint_among(List **known, int32 endpoint_id)
{
	WfEndpoint *endpoint;
	ListCell   *cell;

	foreach(cell, *known)
	{
		endpoint = lfirst(cell);
		if (endpoint->endpoint_id == endpoint_id)
			return endpoint;
	}
	endpoint = wf_endpoint_by_id(endpoint_id);
	if (endpoint != NULL)
		*known = lappend(*known, endpoint);

	return endpoint;
}

/*
 * Returns the endpoint of an effect, as it is for this effect; NULL when its
 * server is gone.  It is looked up once for all who share the list (NULL:
 * nobody).
 */
WfEndpoint *
wf_endpoint_if_any(const WfEffect *effect, List **known)
{
	List	   *none = NIL;
	const WfEndpoint *found = wf_endpoint_among(known == NULL ? &none : known,
												effect->endpoint_id);
	WfEndpoint *endpoint;

	if (found == NULL)
		return NULL;
	endpoint = palloc(sizeof(WfEndpoint));
	*endpoint = *found;
	if (effect->key_ignored)
		wf_endpoint_ignore_keys(endpoint);

	return endpoint;
}

/*
 * The same; when its server is gone, the most careful one there could be.
 */
WfEndpoint *
wf_endpoint_of(const WfEffect *effect, List **known)
{
	WfEndpoint *endpoint = wf_endpoint_if_any(effect, known);

	if (endpoint != NULL)
		return endpoint;
	endpoint = palloc0(sizeof(WfEndpoint));
	endpoint->endpoint_id = effect->endpoint_id;
	endpoint->name = "?";
	endpoint->url = "";
	endpoint->dedup = WF_DEDUP_NONE;
	endpoint->on_unknown = WF_UNKNOWN_HOLD;

	return endpoint;
}

/*
 * What does not exist yet has no previous value, and that is worth knowing.
 */
static void
accept_absence(WfVerdict *verdict, const WfExchange *exchange)
{
	if (exchange->status != 404 && exchange->status != 410)
		return;
	memset(verdict, 0, sizeof(WfVerdict));
	verdict->evidence = WF_APPLIED;
	verdict->action = WF_ACT_SUCCEED;
}

static void
read_external_id(const WfEffect *effect, WfNews *news)
{
	char	   *selector = wf_jsonb_get_text(effect->spec, "external_id");
	Jsonb	   *found = selector == NULL ? NULL :
	wf_select_first(news->answer.response, selector);
	JsonbValue	value;

	if (found != NULL && JsonbExtractScalar(&found->root, &value))
		news->external_id = wf_jsonb_value_text(&value);
}

static void
read_success(const WfEffect *effect, WfNews *news)
{
	news->result = news->answer.response;
	if (strcmp(effect->kind, "model") == 0)
		news->result = wf_model_read(effect, &news->answer, &news->verdict,
									 &news->model_output_id);
	read_external_id(effect, news);
}

/*
 * What a revert has found at its target is judged while it is on record as
 * under way.
 */
static void
judge_revert(const WfEffect *effect, WfNews *news, WfExchangeKind kind)
{
	if (kind == WF_EXCHANGE_ACTION)
		wf_revert_judge_answer(effect, news);
	else if (kind == WF_EXCHANGE_BEFORE && news->verdict.action == WF_ACT_SUCCEED)
		wf_revert_judge_reading(effect, news);
}

static void
judge_probe(const WfEffect *effect, const WfEndpoint *endpoint, const WfExchange *exchange,
			WfNews *news)
{
	news->finding = wf_lookup_read(effect, endpoint, exchange, news->answer.response);
	wf_lookup_judge(news->finding, effect, endpoint, &news->verdict);
}

static WfNews
read_news(const WfEffect *effect, const WfEndpoint *endpoint, const WfExchange *exchange,
		  Jsonb *policy)
{
	WfFacts		facts;
	WfNews		news = {
		.policy = policy,.exchange = exchange,.replay_marker = endpoint->replay_marker,
	};

	if (exchange->status > 0)
		news.answer = wf_answer_read(exchange);
	facts = wf_facts_of(exchange, endpoint, news.answer.body);
	news.verdict = wf_classify(&facts, endpoint);
	wf_model_judge_refusal(effect, exchange, news.answer.body, &news.verdict);
	news.retry_after_us = exchange->retry_after_ms < 0 ? -1 : exchange->retry_after_ms * 1000;
	if (exchange->kind == WF_EXCHANGE_BEFORE)
		accept_absence(&news.verdict, exchange);
	else if (exchange->kind == WF_EXCHANGE_PROBE)
		judge_probe(effect, endpoint, exchange, &news);
	if (exchange->kind != WF_EXCHANGE_BEFORE && news.verdict.action == WF_ACT_SUCCEED)
		read_success(effect, &news);
	else if (facts.status == 202 && exchange->kind == WF_EXCHANGE_ACTION)
		read_external_id(effect, &news);
	if (wf_effect_is_revert(effect))
		judge_revert(effect, &news, exchange->kind);

	return news;
}

static bool
is_current(const WfEffect *effect, const char *token)
{
	return (wf_effect_is(effect, "sending") || wf_effect_is(effect, "claimed") ||
			wf_effect_is(effect, "unknown")) &&
		effect->token != NULL && strcmp(effect->token, token) == 0;
}

/*
 * What the exchange says about the endpoint, whatever becomes of the effect.
 * Tells whether that may have changed what is on record about the endpoint.
 */
static bool
note_flow(const WfEffect *effect, const WfEndpoint *endpoint, const WfExchange *exchange)
{
	WfFacts		facts = wf_facts_of(exchange, endpoint, NULL);
	bool		is_well = exchange->status >= 200 && exchange->status < 300;
	bool		is_paused;

	wf_breaker_note(effect, endpoint, &facts);
	is_paused = wf_limits_note(endpoint, exchange);
	if (is_well)
		wf_gate_give_back(effect, endpoint);

	return is_paused || !is_well || endpoint->flow.breaker != WF_BREAKER_CLOSED;
}

/*
 * Evidence of an attempt that was given up on.
 */
static WfDisposition
record_late(WfLedgerPage *page, const WfEffect *effect, const WfEndpoint *endpoint,
			WfNews *news)
{
	bool		is_under_way = wf_effect_is(effect, "sending") || wf_effect_is(effect, "claimed");
	bool		is_proof;

	if (wf_has_lost_answer(&news->verdict))
	{
		news->verdict.action = WF_ACT_SUCCEED;	/* whoever is at it now
												 * fetches the answer */
		news->verdict.error_class = NULL;
		news->verdict.settles_all = true;
	}
	is_proof = news->verdict.evidence == WF_APPLIED &&
		news->verdict.action == WF_ACT_SUCCEED && news->exchange->kind != WF_EXCHANGE_BEFORE;
	if (is_proof && !is_under_way && !wf_effect_is(effect, "succeeded"))
		return wf_effect_settle_on(page, effect, endpoint, news).disposition;

	if (is_proof)
		wf_note_second_success(effect, endpoint, news->exchange);
	wf_effect_note_attempt(page, effect, news, "unknown",
						   "this came after the attempt was given up");

	return WF_EFFECT_STALE;
}

/*
 * Records on a page what an attempt came to.  Endpoints are those that are
 * known; none is, once something about them may have been written.
 */
static WfDisposition
record(WfLedgerPage *page, const WfRecording *recording, WfEffect *effect, List **endpoints)
{
	const WfExchange *exchange = recording->exchange;
	WfEndpoint *endpoint = wf_endpoint_of(effect, endpoints);
	WfNews		news;

	wf_heed_ignored_key(effect, endpoint, exchange);
	wf_model_heed_profile(effect, endpoint);
	news = read_news(effect, endpoint, exchange, recording->policy);
	if (!is_current(effect, recording->token))
		return record_late(page, effect, endpoint, &news);
	if (news.verdict.action == WF_ACT_SUCCEED)
		wf_note_second_success(effect, endpoint, exchange);
	if (note_flow(effect, endpoint, exchange))
		*endpoints = NIL;

	return wf_effect_settle_on(page, effect, endpoint, &news).disposition;
}

/*
 * The effect as it is needed to record what came back: for a success without
 * what was sent and answered, which may be large.
 */
static WfEffect *
complete(WfEffect *effect, const WfExchange *exchange)
{
	bool		is_plain = wf_effect_is(effect, "sending") && !wf_effect_is_revert(effect) &&
	exchange->status >= 200 && exchange->status < 300;

	return is_plain ? effect : wf_effect_read(effect->effect_id);
}

/*
 * Records what attempts came to, each if it is the present one of its effect.
 */
void
wf_effect_record_many(WfRecording *recordings, int n)
{
	WfEffect  **effects = palloc(sizeof(WfEffect *) * n);
	int64	   *ids = palloc(sizeof(int64) * n);
	WfLedgerPage *page = wf_ledger_page();
	List	   *endpoints = NIL;

	for (int i = 0; i < n; i++)
		ids[i] = recordings[i].effect_id;
	wf_effects_lock_to_record(effects, ids, n);
	for (int i = 0; i < n; i++)
	{
		WfRecording *recording = &recordings[i];

		recording->disposition = WF_EFFECT_BUSY;
		if (effects[i] == NULL)
			(void) wf_effect_read(ids[i]);	/* raises when it is gone */
		else
			recording->disposition = record(page, recording,
											complete(effects[i], recording->exchange),
											&endpoints);
	}
	wf_ledger_write(page);
}
