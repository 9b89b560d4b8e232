/*
 * classify_sql.c
 *	  The pure functions of this room for SQL: tests ask them row by row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/plan.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

static WfEndpoint
imagined_endpoint(FunctionCallInfo fcinfo, const char *flags)
{
	WfEndpoint	endpoint = {
		.dedup = wf_option_dedup(text_to_cstring(PG_GETARG_TEXT_PP(3))),
		.on_5xx = wf_option_on_5xx(text_to_cstring(PG_GETARG_TEXT_PP(4))),
		.in_progress = list_make1_int(409),
		.mismatch = list_make1_int(422),
	};

	if (strstr(flags, "lookup") != NULL)
		endpoint.lookup.path = "/";
	if (strstr(flags, "open") != NULL)
		endpoint.accepted_is_open = true;
	if (strstr(flags, "cdn") != NULL)
		endpoint.rejects = wf_option_statuses("rejects", "503, 521, 522, 523, 525, 526");
	endpoint.on_unknown = wf_default_on_unknown(endpoint.dedup, endpoint.lookup.path != NULL);

	return endpoint;
}

PG_FUNCTION_INFO_V1(wf_inner_classify);

/*
 * _classify(phase text, curl_code int, status int, dedup text, on_5xx text,
 *		flags text, OUT evidence text, OUT action text,
 *		OUT error_class text, OUT is_charged boolean, OUT substate text)
 *
 * The pure function wf_classify(), for tests and for docs.
 */
Datum
wf_inner_classify(PG_FUNCTION_ARGS)
{
	static const char *const evidences[] = {"not_applied", "applied", "unknown"};
	static const char *const actions[] = {"succeed", "retry", "fail", "block", "probe", "hold"};
	char	   *phase = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *flags = text_to_cstring(PG_GETARG_TEXT_PP(5));
	WfEndpoint	endpoint = imagined_endpoint(fcinfo, flags);
	WfFacts		facts = {
		.phase = strcmp(phase, "not_sent") == 0 ? 0 : strcmp(phase, "sent") == 0 ? 1 : 2,
		.curl_code = PG_GETARG_INT32(1),
		.status = PG_GETARG_INT32(2),
		.refused_by_guard = strstr(flags, "guard") != NULL,
		.body_truncated = strstr(flags, "truncated") != NULL,
		.says_when = strstr(flags, "retry_after") != NULL,
		.is_replayed = strstr(flags, "replayed") != NULL,
		.is_other_request = strstr(flags, "mismatch") != NULL,
		.is_out_of_quota = strstr(flags, "quota") != NULL,
		.advice = strstr(flags, "should_not_retry") != NULL ? WF_ADVICE_STOP :
		strstr(flags, "should_retry") != NULL ? WF_ADVICE_RETRY : WF_ADVICE_NONE,
		.kind = strstr(flags, "before") != NULL ? WF_EXCHANGE_BEFORE : WF_EXCHANGE_ACTION,
	};
	WfVerdict	verdict = wf_classify(&facts, &endpoint);
	TupleDesc	description;
	Datum		values[5];
	bool		nulls[5] = {0};

	values[0] = CStringGetTextDatum(evidences[verdict.evidence]);
	values[1] = CStringGetTextDatum(actions[verdict.action]);
	values[2] = wf_text_datum(verdict.error_class);
	nulls[2] = verdict.error_class == NULL;
	values[3] = BoolGetDatum(verdict.is_charged);
	values[4] = wf_text_datum(verdict.substate);
	nulls[4] = verdict.substate == NULL;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}
