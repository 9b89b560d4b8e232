/*
 * row.c
 *	  Rows of workflow.effect as structs.
 *
 * The one place that knows the order of the columns.  A row read for a change
 * is locked; the lock is what serialises senders, recorders and people.
 */
#include "postgres.h"

#include "base/plan.h"
#include "base/rows.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define COLUMNS_WITH(request, answer) \
	"effect_id, endpoint_id, key, state, substate, kind, fingerprint, " \
	"submitted_oid, item_id, method, path, " request ", content_type, spec, " \
	"timeout_ms, attempts, charged, unknown_attempts, generation, token, worker, " \
	"first_sent_at, sending_at, deadline, next_at, previous, " answer ", " \
	"error_class, reason, model_output_id, cause, unknown_at, external_id, key_ignored, " \
	"sent_to"
#define COLUMNS COLUMNS_WITH("headers, body", "response")

enum
{
	COL_EFFECT_ID = 1,
	COL_ENDPOINT_ID,
	COL_KEY,
	COL_STATE,
	COL_SUBSTATE,
	COL_KIND,
	COL_FINGERPRINT,
	COL_SUBMITTED_OID,
	COL_ITEM_ID,
	COL_METHOD,
	COL_PATH,
	COL_HEADERS,
	COL_BODY,
	COL_CONTENT_TYPE,
	COL_SPEC,
	COL_TIMEOUT_MS,
	COL_ATTEMPTS,
	COL_CHARGED,
	COL_UNKNOWN_ATTEMPTS,
	COL_GENERATION,
	COL_TOKEN,
	COL_WORKER,
	COL_FIRST_SENT_AT,
	COL_SENDING_AT,
	COL_DEADLINE,
	COL_NEXT_AT,
	COL_PREVIOUS,
	COL_RESPONSE,
	COL_ERROR_CLASS,
	COL_REASON,
	COL_MODEL_OUTPUT_ID,
	COL_CAUSE,
	COL_UNKNOWN_AT,
	COL_EXTERNAL_ID,
	COL_KEY_IGNORED,
	COL_SENT_TO,
};

static WfPlan lock_effect_plan = {
	.name = "lock effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " COLUMNS " FROM workflow.effect WHERE effect_id = $1::int8 FOR UPDATE",
};

static WfPlan try_lock_effect_plan = {
	.name = "try to lock effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " COLUMNS " FROM workflow.effect WHERE effect_id = $1::int8 "
	"FOR UPDATE SKIP LOCKED",
};

static WfPlan lock_to_send_plan = {
	.name = "lock effects to send",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql = "SELECT " COLUMNS_WITH("headers, body", "NULL::jsonb") " "
	"FROM workflow.effect WHERE effect_id = ANY ($1::int8[]) FOR UPDATE SKIP LOCKED",
};

static WfPlan lock_to_record_plan = {
	.name = "lock effects to record",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql = "SELECT " COLUMNS_WITH("NULL::jsonb, NULL::bytea", "NULL::jsonb") " "
	"FROM workflow.effect WHERE effect_id = ANY ($1::int8[]) FOR UPDATE SKIP LOCKED",
};

static WfPlan read_effect_plan = {
	.name = "read effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " COLUMNS " FROM workflow.effect WHERE effect_id = $1::int8",
};

static WfPlan lock_effect_key_plan = {
	.name = "lock effect by key",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT4OID, TEXTOID},
	.sql = "SELECT " COLUMNS " FROM workflow.effect "
	"WHERE endpoint_id = $1::int4 AND key = $2::text FOR UPDATE",
};

static Jsonb *
jsonb_column(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static bytea *
bytea_column(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

static TimestampTz
time_column(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static char *
submitter(uint64 row)
{
	bool		isnull;
	Datum		role = wf_result_datum(row, COL_SUBMITTED_OID, &isnull);

	return wf_present_role(isnull ? InvalidOid : DatumGetObjectId(role));
}

static void
read_request(WfEffect *effect, uint64 row)
{
	effect->fingerprint = bytea_column(row, COL_FINGERPRINT);
	effect->submitted_by = submitter(row);
	effect->item_id = wf_result_int8(row, COL_ITEM_ID);
	effect->method = wf_result_text(row, COL_METHOD);
	effect->path = wf_result_text(row, COL_PATH);
	effect->headers = jsonb_column(row, COL_HEADERS);
	effect->body = bytea_column(row, COL_BODY);
	effect->content_type = wf_result_text(row, COL_CONTENT_TYPE);
	effect->spec = jsonb_column(row, COL_SPEC);
	effect->timeout_ms = wf_result_int4(row, COL_TIMEOUT_MS);
}

static void
read_sending(WfEffect *effect, uint64 row)
{
	effect->attempts = wf_result_int4(row, COL_ATTEMPTS);
	effect->charged = wf_result_int4(row, COL_CHARGED);
	effect->unknown_attempts = wf_result_int4(row, COL_UNKNOWN_ATTEMPTS);
	effect->generation = wf_result_int4(row, COL_GENERATION);
	effect->token = wf_result_text(row, COL_TOKEN);
	effect->worker = wf_result_text(row, COL_WORKER);
	effect->first_sent_at = time_column(row, COL_FIRST_SENT_AT);
	effect->sending_at = time_column(row, COL_SENDING_AT);
	effect->deadline = time_column(row, COL_DEADLINE);
	effect->next_at = time_column(row, COL_NEXT_AT);
	effect->unknown_at = time_column(row, COL_UNKNOWN_AT);
	effect->external_id = wf_result_text(row, COL_EXTERNAL_ID);
	effect->sent_to = wf_result_text(row, COL_SENT_TO);
	effect->key_ignored = DatumGetBool(wf_result_datum(row, COL_KEY_IGNORED, NULL));
}

static WfEffect *
read_row(uint64 row)
{
	WfEffect   *effect = palloc0(sizeof(WfEffect));

	effect->effect_id = wf_result_int8(row, COL_EFFECT_ID);
	effect->endpoint_id = wf_result_int4(row, COL_ENDPOINT_ID);
	effect->key = wf_result_text(row, COL_KEY);
	effect->state = wf_result_text(row, COL_STATE);
	effect->substate = wf_result_text(row, COL_SUBSTATE);
	effect->kind = wf_result_text(row, COL_KIND);
	read_request(effect, row);
	read_sending(effect, row);
	effect->previous = jsonb_column(row, COL_PREVIOUS);
	effect->response = jsonb_column(row, COL_RESPONSE);
	effect->error_class = wf_result_text(row, COL_ERROR_CLASS);
	effect->reason = wf_result_text(row, COL_REASON);
	effect->model_output_id = wf_result_int8(row, COL_MODEL_OUTPUT_ID);
	effect->cause = wf_result_text(row, COL_CAUSE);

	return effect;
}

static WfEffect *
require_row(uint64 nrows, int64 effect_id)
{
	if (nrows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WF_UNKNOWN),
				 errmsg("effect %lld does not exist", (long long) effect_id),
				 errdetail("The ledger has no effect of that number."),
				 errhint("SELECT effect_id, endpoint, key FROM workflow.effects shows them, "
						 "to operators, designers and monitors.")));

	return read_row(0);
}

/*
 * Locks and returns an effect; raises WF012 when there is none.
 */
WfEffect *
wf_effect_lock(int64 effect_id)
{
	Datum		id = Int64GetDatum(effect_id);

	return require_row(wf_plan_execute(&lock_effect_plan, &id, NULL), effect_id);
}

/*
 * The same, without waiting: NULL when somebody else holds the effect.
 */
WfEffect *
wf_effect_try_lock(int64 effect_id)
{
	Datum		id = Int64GetDatum(effect_id);

	if (wf_plan_execute(&try_lock_effect_plan, &id, NULL) > 0)
		return read_row(0);
	(void) wf_effect_read(effect_id);

	return NULL;
}

/*
 * Locks many with one statement, without waiting: effects[i] is NULL where
 * somebody else holds that effect, or where there is none.
 */
static void
try_lock_many(WfPlan *plan, WfEffect **effects, const int64 *effect_ids, int n)
{
	WfRows	   *ids = wf_rows_make(plan);
	uint64		found;

	memset(effects, 0, sizeof(WfEffect *) * n);
	for (int i = 0; i < n; i++)
	{
		Datum		id = Int64GetDatum(effect_ids[i]);

		wf_rows_add(ids, &id, NULL);
	}
	found = wf_rows_execute(ids);
	for (uint64 row = 0; row < found; row++)
	{
		WfEffect   *effect = read_row(row);
		int			i = 0;

		while (effect_ids[i] != effect->effect_id)
			i++;
		effects[i] = effect;
	}
}

/*
 * As a sender needs them: without an answer.
 */
void
wf_effects_lock_to_send(WfEffect **effects, const int64 *effect_ids, int n)
{
	try_lock_many(&lock_to_send_plan, effects, effect_ids, n);
}

/*
 * As a recorder needs them: with neither what was sent nor an answer.
 */
void
wf_effects_lock_to_record(WfEffect **effects, const int64 *effect_ids, int n)
{
	try_lock_many(&lock_to_record_plan, effects, effect_ids, n);
}

WfEffect *
wf_effect_read(int64 effect_id)
{
	Datum		id = Int64GetDatum(effect_id);

	return require_row(wf_plan_execute(&read_effect_plan, &id, NULL), effect_id);
}

/*
 * Locks and returns the effect of a key; NULL when there is none.
 */
WfEffect *
wf_effect_lock_key(int32 endpoint_id, const char *key)
{
	Datum		values[2] = {Int32GetDatum(endpoint_id), CStringGetTextDatum(key)};

	return wf_plan_execute(&lock_effect_key_plan, values, NULL) == 0 ? NULL : read_row(0);
}

bool
wf_effect_is(const WfEffect *effect, const char *state)
{
	return strcmp(effect->state, state) == 0;
}
