/*
 * classify.c
 *	  What an exchange says about the effect, and what follows from it.
 *
 * Pure: values in, values out.  wf_classify() goes by phase first (was
 * anything sent, did a status come back) and by code second; wf_settle() adds
 * the endpoint's way of deduplicating and the retry policy.  The numbers of
 * libcurl's results are part of its ABI and are written out here, because only
 * the http room knows its headers.
 */
#include "postgres.h"

#include "effect/ledger.h"

#define PHASE_NOT_SENT	0
#define PHASE_SENT		1

#define CURL_TIMED_OUT		28
#define CURL_BAD_ENCODING	61

typedef struct CodeRule
{
	int			first;
	int			last;
	WfAction	action;
	const char *error_class;
	const char *message;
} CodeRule;

/* Results of libcurl when nothing was sent; all others are connection errors. */
static const CodeRule unsent_rules[] = {
	{1, 1, WF_ACT_BLOCK, "permanent", "the scheme of the URL is not allowed"},
	{2, 2, WF_ACT_RETRY, "unavailable", "libcurl could not start"},
	{3, 4, WF_ACT_BLOCK, "permanent", "the URL of the request is malformed"},
	{27, 27, WF_ACT_RETRY, "unavailable", "out of memory"},
	{28, 28, WF_ACT_RETRY, "timeout", "no connection within the time allowed"},
	{42, 42, WF_ACT_RETRY, "unavailable", "it was not sent"},
	{43, 43, WF_ACT_BLOCK, "permanent", "the request is malformed"},
	{47, 49, WF_ACT_BLOCK, "permanent", "an option of the endpoint is not understood"},
	{53, 54, WF_ACT_BLOCK, "unauthorized", "TLS could not be set up"},
	{58, 60, WF_ACT_BLOCK, "unauthorized", "the certificate was not accepted"},
	{66, 67, WF_ACT_BLOCK, "unauthorized", "TLS could not be set up"},
	{77, 77, WF_ACT_BLOCK, "unauthorized", "the CA file cannot be read"},
	{82, 83, WF_ACT_BLOCK, "unauthorized", "the certificate was not accepted"},
	{90, 91, WF_ACT_BLOCK, "unauthorized", "the certificate was not accepted"},
	{94, 94, WF_ACT_BLOCK, "unauthorized", "authentication failed"},
	{98, 98, WF_ACT_BLOCK, "unauthorized", "a client certificate is required"},
};

/*
 * Statuses with one meaning for every endpoint.  What is not here depends on
 * the endpoint: status_verdict().
 */
static const CodeRule status_rules[] = {
	{300, 399, WF_ACT_FAIL, "permanent", "redirects are not followed"},
	{400, 400, WF_ACT_FAIL, "validation", "the request was refused"},
	{401, 401, WF_ACT_BLOCK, "unauthorized", "the credentials were refused"},
	{402, 402, WF_ACT_BLOCK, "unauthorized", "payment is required"},
	{403, 403, WF_ACT_BLOCK, "unauthorized", "permission was refused"},
	{404, 404, WF_ACT_FAIL, "not_found", "there is no such thing at the endpoint"},
	{409, 409, WF_ACT_FAIL, "conflict", "the request conflicts with the present state"},
	{410, 410, WF_ACT_FAIL, "not_found", "the thing is gone"},
	{412, 412, WF_ACT_FAIL, "conflict", "a precondition failed"},
	{416, 416, WF_ACT_FAIL, "validation", "the request was refused"},
	{421, 421, WF_ACT_RETRY, "unavailable", "the request was not processed"},
	{422, 422, WF_ACT_FAIL, "validation", "the request was refused"},
	{423, 425, WF_ACT_RETRY, "unavailable", "the request was not processed"},
	{429, 429, WF_ACT_RETRY, "rate_limited", "too many requests"},
	{400, 499, WF_ACT_FAIL, "permanent", "the request was refused"},
	{501, 501, WF_ACT_FAIL, "permanent", "the request is not supported"},
	{505, 506, WF_ACT_FAIL, "permanent", "the request is not supported"},
	{507, 507, WF_ACT_BLOCK, "unauthorized", "a quota is used up"},
	{508, 511, WF_ACT_FAIL, "permanent", "the request is not supported"},
	{529, 529, WF_ACT_RETRY, "overloaded", "the service is overloaded"},
};

static const CodeRule *
find_rule(const CodeRule *rules, int nrules, int code)
{
	for (int i = 0; i < nrules; i++)
		if (code >= rules[i].first && code <= rules[i].last)
			return &rules[i];

	return NULL;
}

static WfVerdict
make_verdict(WfEvidence evidence, WfAction action, const char *error_class,
			 const char *message)
{
	WfVerdict	verdict = {
		.evidence = evidence,
		.action = action,
		.error_class = error_class,
		.message = message,
		.is_charged = true,
	};

	return verdict;
}

/*
 * The outcome is not known.  For an endpoint that changes nothing that is an
 * ordinary failure.
 */
static WfVerdict
not_known(const WfEndpoint *endpoint, const WfFacts *facts, const char *error_class,
		  const char *message)
{
	static const WfAction actions[] = {WF_ACT_RETRY, WF_ACT_PROBE, WF_ACT_HOLD};

	if (endpoint->dedup == WF_DEDUP_PURE || facts->kind != WF_EXCHANGE_ACTION)
		return make_verdict(WF_NOT_APPLIED, WF_ACT_RETRY, error_class, message);

	return make_verdict(WF_NOT_KNOWN, actions[endpoint->on_unknown], "unknown_outcome", message);
}

static WfVerdict
unsent_verdict(const WfFacts *facts)
{
	const CodeRule *rule;
	WfVerdict	verdict;

	if (facts->refused_by_guard)
		return make_verdict(WF_NOT_APPLIED, WF_ACT_BLOCK, "unauthorized",
							"the address policy of the endpoint refuses it");
	rule = find_rule(unsent_rules, lengthof(unsent_rules), facts->curl_code);
	if (rule == NULL)
		return make_verdict(WF_NOT_APPLIED, WF_ACT_RETRY, "connection",
							"no connection could be made");
	verdict = make_verdict(WF_NOT_APPLIED, rule->action, rule->error_class, rule->message);
	verdict.is_charged = facts->curl_code != 2 && facts->curl_code != 27 && facts->curl_code != 42;

	return verdict;
}

/*
 * It was done, and the answer broke off.  A receiver that knows the key gives
 * it once more, a lookup may show as much; else it is lost.  One that was too
 * long, too slow or cannot be read would be so again.
 */
static bool
can_be_had_again(const WfFacts *facts, const WfEndpoint *endpoint, WfVerdict *verdict)
{
	bool		by_key = endpoint->dedup == WF_DEDUP_KEY && endpoint->on_unknown == WF_UNKNOWN_RESEND;

	if (facts->kind != WF_EXCHANGE_ACTION || facts->body_truncated ||
		facts->curl_code == CURL_TIMED_OUT || facts->curl_code == CURL_BAD_ENCODING ||
		(!by_key && endpoint->on_unknown != WF_UNKNOWN_PROBE))
		return false;
	*verdict = make_verdict(WF_APPLIED, by_key ? WF_ACT_RETRY : WF_ACT_PROBE, "connection",
							"it was done, and the answer broke off");
	verdict->substate = "no_body";

	return true;
}

/*
 * Whether it was done, and its answer is still to be had.
 */
bool
wf_has_lost_answer(const WfVerdict *verdict)
{
	return verdict->evidence == WF_APPLIED &&
		(verdict->action == WF_ACT_RETRY || verdict->action == WF_ACT_PROBE);
}

static WfVerdict
success_verdict(const WfFacts *facts, const WfEndpoint *endpoint)
{
	bool		is_whole = facts->curl_code == 0 && !facts->body_truncated;
	WfVerdict	verdict = make_verdict(WF_APPLIED, WF_ACT_SUCCEED, NULL, NULL);

	if (!is_whole && (endpoint->dedup == WF_DEDUP_PURE || facts->kind != WF_EXCHANGE_ACTION))
	{
		if (facts->body_truncated)
			return make_verdict(WF_NOT_APPLIED, WF_ACT_FAIL, "permanent",
								"the response is larger than max_response");
		return make_verdict(WF_NOT_APPLIED, WF_ACT_RETRY, "connection",
							"the response broke off");
	}
	if (facts->status == 202 && endpoint->accepted_is_open && facts->kind == WF_EXCHANGE_ACTION)
	{
		verdict = make_verdict(WF_NOT_KNOWN, WF_ACT_PROBE, "unknown_outcome",
							   "it is accepted, and not known to be done");
		verdict.substate = "accepted";
		return verdict;
	}
	if (!is_whole && can_be_had_again(facts, endpoint, &verdict))
		return verdict;
	verdict.settles_all = true;
	if (!is_whole)
		verdict.substate = "no_body";
	else if (facts->status == 202)
		verdict.substate = "accepted";

	return verdict;
}

/*
 * 5xx without a fixed meaning: the work may have been done.
 */
static WfVerdict
server_error_verdict(const WfFacts *facts, const WfEndpoint *endpoint)
{
	WfVerdict	verdict = not_known(endpoint, facts, "unavailable",
									facts->status == 503 ? "the service is not available" :
									"the service failed");

	if (verdict.evidence == WF_NOT_KNOWN && endpoint->dedup == WF_DEDUP_KEY &&
		(facts->is_replayed || (facts->status == 500 && endpoint->on_5xx == WF_5XX_REPLAYED)))
		verdict.action = endpoint->lookup.path == NULL ? WF_ACT_HOLD : WF_ACT_PROBE;

	return verdict;
}

/*
 * What a receiver that knows keys says about this key.
 */
static bool
key_verdict(const WfFacts *facts, const WfEndpoint *endpoint, WfVerdict *verdict)
{
	if (endpoint->dedup != WF_DEDUP_KEY || facts->kind != WF_EXCHANGE_ACTION)
		return false;
	if (facts->is_other_request || list_member_int(endpoint->mismatch, facts->status))
	{
		*verdict = make_verdict(WF_NOT_APPLIED, WF_ACT_FAIL, "conflict",
								"the receiver knows the key with another request");
		return true;
	}
	if (list_member_int(endpoint->in_progress, facts->status))
	{
		*verdict = make_verdict(WF_NOT_KNOWN, WF_ACT_RETRY, "unknown_outcome",
								"the same key is being worked on");
		verdict->is_charged = false;
		verdict->substate = "in_progress";
		return true;
	}

	return false;
}

static bool
declared_verdict(const WfFacts *facts, const WfEndpoint *endpoint, WfVerdict *verdict)
{
	if (facts->kind == WF_EXCHANGE_ACTION &&
		list_member_int(endpoint->already_done, facts->status))
	{
		*verdict = make_verdict(WF_APPLIED, WF_ACT_SUCCEED, NULL, NULL);
		verdict->substate = "already_done";
		verdict->settles_all = true;
		return true;
	}
	if (list_member_int(endpoint->rejects, facts->status))
	{
		*verdict = make_verdict(WF_NOT_APPLIED, WF_ACT_RETRY, "unavailable",
								"the service turned the request away");
		return true;
	}

	return key_verdict(facts, endpoint, verdict);
}

static WfVerdict
plain_status_verdict(const WfFacts *facts, const WfEndpoint *endpoint)
{
	const CodeRule *rule;
	WfVerdict	verdict;

	if (facts->status >= 200 && facts->status <= 299)
		return success_verdict(facts, endpoint);
	if (declared_verdict(facts, endpoint, &verdict))
		return verdict;
	if (facts->status == 408)
		return not_known(endpoint, facts, "timeout", "the service timed out");
	if (facts->is_out_of_quota)
		return make_verdict(WF_NOT_APPLIED, WF_ACT_BLOCK, "unauthorized", "a quota is used up");
	if (facts->status == 403 && facts->says_when)
		rule = find_rule(status_rules, lengthof(status_rules), 429);
	else
		rule = find_rule(status_rules, lengthof(status_rules), facts->status);
	if (rule == NULL)
		return server_error_verdict(facts, endpoint);

	verdict = make_verdict(WF_NOT_APPLIED, rule->action, rule->error_class, rule->message);
	verdict.is_charged = strcmp(rule->error_class, "rate_limited") != 0;
	/* a receiver that knows the key would have given back the first success */
	verdict.settles_all = endpoint->dedup == WF_DEDUP_KEY && rule->action == WF_ACT_FAIL;

	return verdict;
}

/*
 * A receiver that says whether to try again knows better than its status; but
 * not, whether trying again would do it twice.
 */
static WfVerdict
status_verdict(const WfFacts *facts, const WfEndpoint *endpoint)
{
	WfVerdict	verdict = plain_status_verdict(facts, endpoint);
	bool		is_refusal = verdict.evidence == WF_NOT_APPLIED && verdict.error_class != NULL;

	if (facts->advice == WF_ADVICE_RETRY && is_refusal && verdict.action == WF_ACT_FAIL)
	{
		verdict.action = WF_ACT_RETRY;
		verdict.error_class = "unavailable";
		verdict.settles_all = false;
	}
	else if (facts->advice == WF_ADVICE_STOP && is_refusal && verdict.action == WF_ACT_RETRY)
	{
		verdict.action = WF_ACT_FAIL;
		verdict.is_charged = true;
	}
	else if (facts->advice == WF_ADVICE_STOP && verdict.evidence == WF_NOT_KNOWN &&
			 verdict.action == WF_ACT_RETRY)
		verdict.action = endpoint->lookup.path == NULL ? WF_ACT_HOLD : WF_ACT_PROBE;

	return verdict;
}

/*
 * Returns what an exchange says about the effect.
 */
WfVerdict
wf_classify(const WfFacts *facts, const WfEndpoint *endpoint)
{
	if (facts->phase == PHASE_NOT_SENT)
		return unsent_verdict(facts);
	if (facts->phase == PHASE_SENT)
		return not_known(endpoint, facts,
						 facts->curl_code == CURL_TIMED_OUT ? "timeout" : "connection",
						 "the request was sent and no answer came");

	return status_verdict(facts, endpoint);
}

/*
 * The class to ask the policy about.  Whether an unknown outcome may be sent
 * again is for the endpoint to say, and it has: the policy says when.
 */
static const char *
class_to_ask(const WfVerdict *verdict)
{
	if (!verdict->is_charged)
		return "rate_limited";

	return verdict->evidence == WF_NOT_KNOWN ? "unavailable" : verdict->error_class;
}

static WfRetryDecision
decide(const WfVerdict *verdict, const WfEffect *effect, const WfRetryPolicy *policy,
	   int64 retry_after_us, double random01)
{
	const char *error_class = class_to_ask(verdict);
	WfRetryPolicy asked = *policy;
	int			attempt = verdict->is_charged ? effect->charged + 1 :
	Max(effect->attempts, 1);

	if (error_class != verdict->error_class || !verdict->is_charged)
	{
		asked.nretry_on = 1;
		asked.retry_on = &error_class;
	}

	return wf_retry_decide(&asked, attempt, error_class, retry_after_us, random01);
}

/*
 * What an effect comes to that may have been applied and is not to be sent
 * again.
 */
static WfDisposition
doubtful(const WfEffect *effect, const WfEndpoint *endpoint)
{
	return wf_may_look_up(effect, endpoint) ? WF_EFFECT_UNKNOWN : WF_EFFECT_HELD;
}

/*
 * Returns what becomes of an effect.  The attempts before count, too: what one
 * of them left unknown stays so until something speaks for all of them.
 */
WfSettlement
wf_settle(const WfVerdict *verdict, const WfEndpoint *endpoint, const WfEffect *effect,
		  const WfRetryPolicy *policy, int64 retry_after_us, double random01)
{
	WfSettlement settlement = {.is_charged = verdict->is_charged};
	WfRetryDecision decision;
	bool		may_be_applied;

	settlement.unknown_attempts = verdict->settles_all ? 0 :
		effect->unknown_attempts +
		(verdict->evidence == WF_NOT_KNOWN || wf_has_lost_answer(verdict) ? 1 : 0);
	may_be_applied = settlement.unknown_attempts > 0;

	switch (verdict->action)
	{
		case WF_ACT_SUCCEED:
			settlement.disposition = WF_EFFECT_SUCCEEDED;
			break;
		case WF_ACT_FAIL:
			settlement.disposition = may_be_applied ? doubtful(effect, endpoint) : WF_EFFECT_FAILED;
			break;
		case WF_ACT_BLOCK:
			settlement.disposition = WF_EFFECT_BLOCKED;
			break;
		case WF_ACT_PROBE:
			settlement.disposition = doubtful(effect, endpoint);
			break;
		case WF_ACT_HOLD:
			settlement.disposition = WF_EFFECT_HELD;
			break;
		case WF_ACT_RETRY:
			decision = decide(verdict, effect, policy, retry_after_us, random01);
			settlement.disposition = decision.retry ? WF_EFFECT_AGAIN :
				may_be_applied ? doubtful(effect, endpoint) : WF_EFFECT_DEAD;
			settlement.delay_us = decision.delay_us;
			break;
	}
	if (settlement.disposition == WF_EFFECT_AGAIN && may_be_applied &&
		endpoint->on_unknown != WF_UNKNOWN_RESEND)
		settlement.disposition = doubtful(effect, endpoint);
	if (wf_has_lost_answer(verdict) && settlement.disposition != WF_EFFECT_AGAIN &&
		settlement.disposition != WF_EFFECT_UNKNOWN)
		settlement.disposition = WF_EFFECT_SUCCEEDED;
	if (settlement.disposition == WF_EFFECT_UNKNOWN && settlement.delay_us == 0)
		settlement.delay_us = wf_retry_delay_us(policy, 1, random01);

	return settlement;
}
