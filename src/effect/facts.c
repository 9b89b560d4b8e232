/*
 * facts.c
 *	  What an exchange shows, before anything is concluded from it.
 *
 * Some statuses mean one thing or another by what comes with them: a 429 is a
 * matter of time, unless the answer says that the money is spent; some
 * receivers say themselves whether trying again makes sense.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "effect/ledger.h"

/* Codes of well-known services for a quota that time does not fill. */
static const char *const quota_codes[] = {
	"insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached",
	"billing_error", "credit_balance_too_low", "quota_exceeded_permanently",
};

/* Codes of well-known services for a key that they know with another request. */
static const char *const mismatch_codes[] = {
	"idempotency_error", "idempotency_key_reused", "IDEMPOTENCY_KEY_REUSED",
	"idempotency_key_mismatch", "IdempotentParameterMismatch",
};

/* Where services put such a code. */
static const char *const code_paths[] = {
	"$.error.code", "$.error.type", "$.error.details.error_code", "$.code", "$.type",
};

static List *
list_of(const char *const *names, int n)
{
	List	   *codes = NIL;

	for (int i = 0; i < n; i++)
		codes = lappend(codes, pstrdup(names[i]));

	return codes;
}

List *
wf_default_quota_codes(void)
{
	return list_of(quota_codes, lengthof(quota_codes));
}

List *
wf_default_mismatch_codes(void)
{
	return list_of(mismatch_codes, lengthof(mismatch_codes));
}

static bool
is_one_of(const char *code, List *codes)
{
	ListCell   *cell;

	foreach(cell, codes)
	{
		if (strcmp(lfirst(cell), code) == 0)
			return true;
	}

	return false;
}

/*
 * Whether an answer's body has one of the codes.
 */
static bool
names_code(Jsonb *body, List *codes)
{
	if (body == NULL)
		return false;
	for (int i = 0; i < lengthof(code_paths); i++)
	{
		Jsonb	   *found = wf_select_first(body, code_paths[i]);
		JsonbValue	value;

		if (found != NULL && JsonbExtractScalar(&found->root, &value) &&
			value.type == jbvString && is_one_of(wf_jsonb_value_text(&value), codes))
			return true;
	}

	return false;
}

static WfAdvice
advice_of(const WfExchange *exchange, const WfEndpoint *endpoint)
{
	char	   *value = endpoint->retry_header == NULL || exchange->headers == NULL ? NULL :
	wf_header_value(exchange->headers, endpoint->retry_header);

	if (value != NULL && pg_strcasecmp(value, "true") == 0)
		return WF_ADVICE_RETRY;

	return value != NULL && pg_strcasecmp(value, "false") == 0 ? WF_ADVICE_STOP : WF_ADVICE_NONE;
}

/*
 * Returns the facts of an exchange; body: its answer's, where that is JSON.
 */
WfFacts
wf_facts_of(const WfExchange *exchange, const WfEndpoint *endpoint, Jsonb *body)
{
	WfFacts		facts = {
		.phase = exchange->phase,
		.curl_code = exchange->curl_code,
		.status = exchange->status,
		.refused_by_guard = exchange->refused_by_guard,
		.body_truncated = exchange->body_truncated,
		.says_when = exchange->retry_after_ms >= 0 ||
		wf_limits_wait_us(exchange, wf_now()) > 0,
		.kind = exchange->kind,
		.is_replayed = wf_has_marker(exchange->headers, endpoint->replay_marker),
		.is_out_of_quota = exchange->status == 429 && names_code(body, endpoint->quota_codes),
		.is_other_request = exchange->status >= 400 && exchange->status < 500 &&
		names_code(body, endpoint->mismatch_codes),
		.advice = advice_of(exchange, endpoint),
	};

	return facts;
}
