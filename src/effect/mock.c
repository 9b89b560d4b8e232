/*
 * mock.c
 *	  Answers that a test gives in the place of an endpoint.
 *
 * Mocks and the requests that they answered are rows (sql/mock.sql): a savepoint
 * takes them back, and no other session sees them, because a transaction that
 * has mocks cannot commit.  For the ledger would say of what was never sent that
 * it was done.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/end.h"
#include "base/invoke.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Subtransactions that have set mocks, and have not been undone. */
static List *setters = NIL;

bool
wf_mocks_are_set(void)
{
	return setters != NIL;
}

/*
 * What this process counts about endpoints is of no transaction: a test begins
 * with nothing, and leaves nothing.
 */
static void
forget_counts(void)
{
	wf_breaker_forget();
	wf_gate_forget();
}

/*
 * See mock.h.
 */
TimestampTz
wf_wire_now(void)
{
	return wf_mocks_are_set() ? wf_now() : GetCurrentTimestamp();
}

static void
refuse_commit(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("a transaction with mocks cannot be committed"),
			 errdetail("Calls of it were, or would be, answered by workflow.mock() and never sent."),
			 errhint("BEGIN before the first workflow.mock(), and end with ROLLBACK.")));
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (setters == NIL)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		refuse_commit();
	if (event == XACT_EVENT_ABORT)
	{
		list_free(setters);
		setters = NIL;
		forget_counts();
	}
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	MemoryContext caller;

	if (setters == NIL ||
		(event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB) ||
		!list_member_int(setters, mine))
		return;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	setters = list_delete_int(setters, mine);
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		setters = list_append_unique_int(setters, parent);
	if (setters == NIL)
		forget_counts();
	MemoryContextSwitchTo(caller);
}

static void
note_setter(void)
{
	static WfEnd own_end = 0;
	MemoryContext caller;

	if (own_end == 0)
		own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
	wf_end_is_due(own_end);
	if (setters == NIL)
		forget_counts();
	caller = MemoryContextSwitchTo(TopMemoryContext);
	setters = list_append_unique_int(setters, GetCurrentSubTransactionId());
	MemoryContextSwitchTo(caller);
}

PG_FUNCTION_INFO_V1(wf_mock);

/*
 * mock(endpoint text, responses jsonb)
 */
Datum
wf_mock(PG_FUNCTION_ARGS)
{
	if (MyBgworkerEntry != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a background worker has no mocks"),
				 errdetail("What an activity does there is to be committed."),
				 errhint("Call workflow.mock() in the test, before CALL workflow.run().")));
	note_setter();

	return wf_invoke(fcinfo);
}

static const char *
purpose_of(const WfWire *wire)
{
	static const char *const purposes[] = {"action", "before", "lookup"};

	return purposes[wire->kind];
}

/*
 * The headers as they would be sent, their names in lower case.
 */
static Jsonb *
headers_object(const WfWire *wire)
{
	int			n = list_length(wire->header_names);
	WfMember   *members = palloc(sizeof(WfMember) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		const char *name = list_nth(wire->header_names, i);
		JsonbValue *value = &members[i].value;

		members[i].key = asc_tolower(name, strlen(name));
		value->type = jbvString;
		value->val.string.val = list_nth(wire->header_values, i);
		value->val.string.len = strlen(value->val.string.val);
	}

	return wf_jsonb_object(members, n);
}

/*
 * The body as JSON: parsed, or else as a string, of hexadecimal digits where it
 * is no text; NULL when there is none.
 */
static Jsonb *
body_value(const WfWire *wire)
{
	Jsonb	   *parsed;

	if (wire->body == NULL)
		return NULL;
	parsed = wf_parse_json(wire->body, wire->body_length);
	if (parsed != NULL)
		return parsed;
	if (memchr(wire->body, '\0', wire->body_length) == NULL &&
		pg_verifymbstr(wire->body, wire->body_length, true))
		return wf_jsonb_from_text(pnstrdup(wire->body, wire->body_length));

	return wf_jsonb_from_text(psprintf("\\x%s", wf_hex(wire->body, wire->body_length)));
}

/*
 * What of the url the endpoint's own does not say.
 */
static const char *
path_of(const WfWire *wire)
{
	return wire->url + strlen(wire->receiver);
}

static void
refuse_call(const WfWire *wire, const char *endpoint)
{
	char	   *example = psprintf("{\"method\": \"%s\", \"path\": \"%s\", \"status\": 200, \"body\": {}}",
								   wire->method, path_of(wire));

	ereport(ERROR,
			(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
			 errmsg("no mock answers %s %s of endpoint \"%s\"",
					wire->method, path_of(wire), endpoint),
			 errdetail("%s", wf_result_text(0, 3)),
			 errhint("SELECT workflow.mock(%s, %s);",
					 quote_literal_cstr(endpoint), quote_literal_cstr(example))));
}

static WfMock *
read_mock(Jsonb *answer)
{
	WfMock	   *mock = palloc0(sizeof(WfMock));
	char	   *text = wf_jsonb_get_text(answer, "text");
	Jsonb	   *body = wf_jsonb_get_jsonb(answer, "body");

	mock->failure = wf_jsonb_get_text(answer, "failure");
	mock->status = wf_jsonb_get_int(answer, "status", 200);
	mock->headers = wf_jsonb_get_jsonb(answer, "headers");
	mock->body = text !=NULL ? text : body == NULL ? NULL : wf_jsonb_to_cstring(body);

	mock->body_length = mock->body == NULL ? 0 : strlen(mock->body);

	return mock;
}

WfMock *
wf_mock_take(const WfWire *wire)
{
	static WfPlan plan = {
		.name = "take mock",
		.expected = SPI_OK_SELECT,
		.nargs = 6,
		.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID},
		.sql = "SELECT answer, endpoint, problem FROM workflow._take_mock($1, $2, $3, $4, $5, $6)",
	};
	MemoryContext caller = CurrentMemoryContext;
	Jsonb	   *body = body_value(wire);
	Datum		values[6];
	char		nulls[7] = "      ";
	Datum		answer;
	bool		is_missing;

	values[0] = Int64GetDatum(wire->effect_id);
	values[1] = CStringGetTextDatum(purpose_of(wire));
	values[2] = CStringGetTextDatum(wire->method);
	values[3] = CStringGetTextDatum(path_of(wire));
	values[4] = JsonbPGetDatum(headers_object(wire));
	values[5] = JsonbPGetDatum(body);
	nulls[5] = WF_NULL_FLAG(body);
	wf_plan_execute(&plan, values, nulls);
	answer = wf_result_datum(0, 1, &is_missing);
	if (is_missing)
		refuse_call(wire, wf_result_text(0, 2));
	MemoryContextSwitchTo(caller);

	return read_mock(DatumGetJsonbPCopy(answer));
}
