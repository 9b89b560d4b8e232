/*
 * call.c
 *	  The ledger's functions for SQL.
 *
 * call() is a durable HTTP call without a workflow; begin_effect() and
 * finish_effect() guard an action that the caller carries out; the rest are
 * inner functions that SQL of this room needs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/cluster.h"
#include "base/commit.h"
#include "base/config.h"
#include "base/context.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan item_id_plan = {
	.name = "item id",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "SELECT workflow._item_id($1::text)",
};

static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (!PG_ARGISNULL(argument))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name),
			 errdetail("Argument %d is null.", argument + 1),
			 errhint("Give a value for %s.", name)));
}

static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static Jsonb *
jsonb_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_JSONB_P(argument);
}

static int
interval_argument_ms(FunctionCallInfo fcinfo, int argument)
{
	int64		us;

	if (PG_ARGISNULL(argument))
		return 0;
	us = wf_interval_us(PG_GETARG_INTERVAL_P(argument));
	if (us < 1000 || us > INT64CONST(900) * 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout is out of range"),
				 errdetail("A call takes from a millisecond to 15 minutes."),
				 errhint("Leave it out to use the timeout of the endpoint.")));

	return us / 1000;
}

static void
connect_as_owner(WfCaller *caller)
{
	wf_enter_owner(caller);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

static void
disconnect(const WfCaller *caller)
{
	SPI_finish();
	wf_leave_owner(caller);
}

/*
 * Builds the row that a function with OUT parameters returns, in the memory
 * of the caller.
 */
static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	description;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "a function that returns a row was called where none can be returned");

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

/*
 * call(endpoint text, method text, path text, body jsonb, key text, headers jsonb,
 *		timeout interval, content_type text, body_bytes bytea) returns bigint
 */
WF_PUBLIC_FUNCTION(wf_call)
{
	WfIntent	intent = {.kind = "call"};
	WfCaller	caller;
	int64		effect_id;

	require_argument(fcinfo, 0, "endpoint");
	require_argument(fcinfo, 1, "method");
	require_argument(fcinfo, 2, "path");
	intent.endpoint = text_argument(fcinfo, 0);
	intent.method = text_argument(fcinfo, 1);
	intent.path = text_argument(fcinfo, 2);
	intent.body = jsonb_argument(fcinfo, 3);
	intent.key = PG_ARGISNULL(4) ? psprintf("call:%s", wf_random_token()) :
		text_argument(fcinfo, 4);
	intent.headers = jsonb_argument(fcinfo, 5);
	intent.timeout_ms = interval_argument_ms(fcinfo, 6);
	intent.content_type = text_argument(fcinfo, 7);
	intent.body_bytes = PG_ARGISNULL(8) ? NULL : PG_GETARG_BYTEA_P(8);
	intent.submitted_by = wf_role_name(GetUserId());

	connect_as_owner(&caller);
	wf_cluster_name();
	if (wf_effect_reserve(&intent, &effect_id) == WF_RESERVED)
		wf_effect_enqueue(effect_id, intent.endpoint, NULL);
	disconnect(&caller);

	PG_RETURN_INT64(effect_id);
}

/* ----------------------------------------------------------------- guard */

/*
 * The id of the item that an argument names; WF012 when there is none.
 */
static int64
item_argument(FunctionCallInfo fcinfo, int argument, bool by_key)
{
	Datum		name;

	if (PG_ARGISNULL(argument))
		return 0;
	name = by_key ? PG_GETARG_DATUM(argument) :
		CStringGetTextDatum(psprintf(INT64_FORMAT, PG_GETARG_INT64(argument)));
	wf_plan_execute(&item_id_plan, &name, NULL);

	return wf_result_int8(0, 1);
}

/*
 * Whoever moves the item waits until the guard is begun, or was there before: a
 * timeout would pass by what it cannot see yet.
 */
static void
hold_item(int64 item_id)
{
	static WfPlan plan = {
		.name = "hold item of guard",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT FROM workflow.item WHERE item_id = $1 FOR SHARE",
	};
	Datum		value = Int64GetDatum(item_id);

	if (item_id != 0)
		wf_plan_execute(&plan, &value, NULL);
}

/*
 * The caller's USAGE has been checked: it acts for itself, whoever intended the
 * effect first.
 */
static const char *
begin_guarded(WfEffect *effect, const WfIntent *intent, WfWire *wire)
{
	WfEffectOutcome outcome;
	bool		is_guard = strcmp(effect->kind, "guard") == 0;

	if (is_guard)
		effect = wf_effect_give_up_overdue(effect);
	if (wf_effect_is(effect, "succeeded"))
		return "done";
	if (wf_effect_is(effect, "held"))
		return "held";
	if (!is_guard)
		return "busy";
	effect->submitted_by = intent->submitted_by;
	if (wf_effect_begin_guarded(effect, wire, &outcome))
		return "send";

	return outcome.disposition == WF_EFFECT_HELD ? "held" : "busy";
}

static const char *
guard(const WfIntent *intent, int64 *effect_id, WfWire *wire, Jsonb **response)
{
	WfReservation reservation;
	WfEffect   *effect;

	if (!wf_effect_reserve_or_conflict(wf_effect_prepare(intent), effect_id, &reservation))
		return "conflict";
	effect = wf_effect_lock(*effect_id);
	*response = effect->response;

	return begin_guarded(effect, intent, wire);
}

static Datum
begin_effect(FunctionCallInfo fcinfo, bool by_key)
{
	WfIntent	intent = {.kind = "guard"};
	MemoryContext result_memory = CurrentMemoryContext;
	WfWire		wire = {0};
	Jsonb	   *response = NULL;
	WfCaller	caller;
	int64		effect_id;
	const char *verdict;
	Datum		values[4] = {0};
	bool		nulls[4] = {0};

	require_argument(fcinfo, 0, "endpoint");
	require_argument(fcinfo, 1, "key");
	require_argument(fcinfo, 2, "request");
	intent.endpoint = text_argument(fcinfo, 0);
	intent.key = text_argument(fcinfo, 1);
	intent.body = jsonb_argument(fcinfo, 2);
	intent.method = wf_jsonb_get_text(intent.body, "method");
	intent.path = wf_jsonb_get_text(intent.body, "path");
	intent.submitted_by = wf_role_name(GetUserId());

	connect_as_owner(&caller);
	wf_cluster_name();
	intent.item_id = item_argument(fcinfo, 3, by_key);
	hold_item(intent.item_id);
	verdict = guard(&intent, &effect_id, &wire, &response);
	MemoryContextSwitchTo(result_memory);
	values[0] = Int64GetDatum(effect_id);
	values[1] = CStringGetTextDatum(verdict);
	values[2] = wf_text_datum(wire.token);
	nulls[2] = wire.token == NULL;
	nulls[3] = response == NULL || strcmp(verdict, "done") != 0;
	if (!nulls[3])
		values[3] = JsonbPGetDatum(DatumGetJsonbPCopy(JsonbPGetDatum(response)));
	disconnect(&caller);
	if (wire.token != NULL)
		wf_require_flushed_commit();

	return make_row(fcinfo, values, nulls);
}

/*
 * begin_effect(endpoint text, key text, request jsonb, item bigint,
 *		OUT effect_id bigint, OUT verdict text, OUT token text,
 *		OUT response jsonb)
 */
WF_PUBLIC_FUNCTION(wf_begin_effect)
{
	return begin_effect(fcinfo, false);
}

WF_PUBLIC_FUNCTION(wf_begin_effect_by_key)
{
	return begin_effect(fcinfo, true);
}

static WfVerdict
reported_verdict(const char *outcome, const WfEndpoint *endpoint)
{
	WfFacts		facts = {.phase = 2,.status = 200};
	WfVerdict	verdict = {
		.evidence = WF_NOT_APPLIED,
		.action = WF_ACT_FAIL,
		.error_class = "permanent",
		.message = "its sender reports that it was not applied",
		.is_charged = true,
	};

	if (strcmp(outcome, "applied") == 0 || strcmp(outcome, "succeeded") == 0)
		return wf_classify(&facts, endpoint);
	if (strcmp(outcome, "not_applied") == 0 || strcmp(outcome, "failed") == 0)
		return verdict;
	if (strcmp(outcome, "unknown") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome \"%s\" is not known", outcome),
				 errdetail("An effect was applied, was not applied, or nobody knows."),
				 errhint("Use applied, not_applied or unknown.")));
	facts.phase = 1;
	verdict = wf_classify(&facts, endpoint);
	verdict.message = "its sender does not know what it came to";

	return verdict;
}

static void
require_token(const WfEffect *effect, const char *token)
{
	if (wf_effect_is(effect, "sending") && strcmp(effect->kind, "guard") == 0 &&
		effect->token != NULL && strcmp(effect->token, token) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WF_STALE_TOKEN),
			 errmsg("the token does not belong to a running attempt of effect %lld",
					(long long) effect->effect_id),
			 errdetail("The effect is %s.", effect->state),
			 errhint("What is known for certain can still be told, by an operator: "
					 "SELECT workflow.resolve(%lld, 'applied', 'how you know');",
					 (long long) effect->effect_id)));
}

/*
 * The intent has to be on disk before the action: raises 25001 where it is not.
 * Nothing else writes the row of an attempt that is under way.
 */
static void
require_begun_before(const WfEffect *effect)
{
	static WfPlan plan = {
		.name = "who began guard",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT xmin FROM workflow.effect WHERE effect_id = $1::int8",
	};
	Datum		value = Int64GetDatum(effect->effect_id);

	if (wf_plan_execute(&plan, &value, NULL) == 0 ||
		!TransactionIdIsCurrentTransactionId(DatumGetTransactionId(wf_result_datum(0, 1, NULL))))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("effect %lld was begun in this transaction", (long long) effect->effect_id),
			 errdetail("That it is being done is not committed yet: had the session ended after the action, nobody would know of it."),
			 errhint("COMMIT after workflow.begin_effect(), then act, then call workflow.finish_effect() in another transaction.")));
}

/*
 * finish_effect(effect_id bigint, token text, outcome text, external_id text,
 *		response jsonb) returns text
 *
 * Returns the state that follows.
 */
WF_PUBLIC_FUNCTION(wf_finish_effect)
{
	MemoryContext result_memory = CurrentMemoryContext;
	WfNews		news = {.retry_after_us = -1};
	WfCaller	caller;
	WfEffect   *effect;
	WfEndpoint *endpoint;
	char	   *state;

	require_argument(fcinfo, 0, "effect_id");
	require_argument(fcinfo, 1, "token");
	require_argument(fcinfo, 2, "outcome");

	connect_as_owner(&caller);
	effect = wf_effect_lock(PG_GETARG_INT64(0));
	require_token(effect, text_argument(fcinfo, 1));
	require_begun_before(effect);
	endpoint = wf_endpoint_of(effect, NULL);
	news.verdict = reported_verdict(text_argument(fcinfo, 2), endpoint);
	news.external_id = text_argument(fcinfo, 3);
	news.answer.response = jsonb_argument(fcinfo, 4);
	wf_breaker_note_guard(effect, endpoint, news.verdict.evidence == WF_APPLIED);
	(void) wf_effect_settle(effect, endpoint, &news);
	state = MemoryContextStrdup(result_memory, wf_effect_read(effect->effect_id)->state);

	disconnect(&caller);

	PG_RETURN_TEXT_P(cstring_to_text(state));
}

/* ----------------------------------------------------------------- inner */

PG_FUNCTION_INFO_V1(wf_inner_wake);

/*
 * _wake(topic text) returns void
 */
Datum
wf_inner_wake(PG_FUNCTION_ARGS)
{
	char	   *topic = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(topic, "http") == 0)
		wf_wake_at_commit(WF_WAKE_HTTP, NULL);
	else if (strcmp(topic, "sql") == 0)
		wf_wake_at_commit(WF_WAKE_SQL, NULL);
	else if (strcmp(topic, "task") == 0)
		wf_wake_at_commit(WF_WAKE_TASK, NULL);
	else if (strcmp(topic, "maintenance") == 0)
		wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
	else
		elog(ERROR, "topic \"%s\" is unknown", topic);

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_reserve_effect);

/*
 * _reserve_effect(submitted_by text, endpoint text, kind text, key text,
 *		request jsonb, item bigint, reverts bigint, OUT effect_id bigint,
 *		OUT is_new boolean)
 *
 * request: {method, path, headers, body, content_type, spec, timeout_ms}.
 */
Datum
wf_inner_reserve_effect(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"submitted_by", "endpoint", "kind", "key", "request"};
	Jsonb	   *request = jsonb_argument(fcinfo, 4);
	WfIntent	intent = {
		.submitted_by = text_argument(fcinfo, 0),
		.endpoint = text_argument(fcinfo, 1),
		.kind = text_argument(fcinfo, 2),
		.key = text_argument(fcinfo, 3),
		.method = wf_jsonb_get_text(request, "method"),
		.path = wf_jsonb_get_text(request, "path"),
		.headers = wf_jsonb_get_jsonb(request, "headers"),
		.body = wf_jsonb_get_jsonb(request, "body"),
		.content_type = wf_jsonb_get_text(request, "content_type"),
		.spec = wf_jsonb_get_jsonb(request, "spec"),
		.timeout_ms = wf_jsonb_get_int(request, "timeout_ms", 0),
		.item_id = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT64(5),
		.reverts = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT64(6),
	};
	WfCaller	caller;
	int64		effect_id;
	WfReservation reservation;
	Datum		values[2];
	bool		nulls[2] = {0};

	for (int i = 0; i < lengthof(names); i++)
		require_argument(fcinfo, i, names[i]);
	connect_as_owner(&caller);
	reservation = wf_effect_reserve(&intent, &effect_id);
	disconnect(&caller);
	values[0] = Int64GetDatum(effect_id);
	values[1] = BoolGetDatum(reservation == WF_RESERVED);

	return make_row(fcinfo, values, nulls);
}

PG_FUNCTION_INFO_V1(wf_inner_revive_effect);

/*
 * _revive_effect(effect_id bigint)
 */
Datum
wf_inner_revive_effect(PG_FUNCTION_ARGS)
{
	WfCaller	caller;

	connect_as_owner(&caller);
	wf_effect_revive(PG_GETARG_INT64(0));
	disconnect(&caller);

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_inner_enqueue_effect);

/*
 * _enqueue_effect(effect_id bigint, endpoint text [, queue text])
 */
Datum
wf_inner_enqueue_effect(PG_FUNCTION_ARGS)
{
	WfCaller	caller;

	connect_as_owner(&caller);
	wf_effect_enqueue(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
					  PG_NARGS() > 2 ? text_to_cstring(PG_GETARG_TEXT_PP(2)) : NULL);
	disconnect(&caller);

	PG_RETURN_VOID();
}
