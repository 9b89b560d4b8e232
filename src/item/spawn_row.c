/*
 * spawn_row.c
 *	  The rows of workflow.spawn: visits of spawn states.
 *
 * Such a row is locked after its item and before the timers of the visit, by
 * whoever moves the item.  Who counts ends locks it without the item, and sets a
 * timer then.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * When what is due at once is due: for real workers, too, where this session's
 * clock is ahead.
 */
TimestampTz
wf_spawn_now(void)
{
	return Min(wf_now(), GetCurrentTimestamp());
}

/*
 * Stores a visit; success is the array of outcomes that the document names, or
 * NULL.
 */
void
wf_spawn_store(const WfSpawn *spawn, Jsonb *success)
{
	static WfPlan plan = {
		.name = "store spawn",
		.expected = SPI_OK_INSERT,
		.nargs = 9,
		.argtypes = {INT8OID, INT4OID, TEXTOID, INT4OID, INT4OID, INT4OID, JSONBOID, JSONBOID,
		TIMESTAMPTZOID},
		.sql = "INSERT INTO workflow.spawn (item_id, seq, workflow, version, total, needed, children, success, spawned_at) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, "
		"CASE WHEN $8 IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text($8)) END, $9)",
	};
	Datum		values[9];
	char		nulls[] = "         ";

	values[0] = Int64GetDatum(spawn->item_id);
	values[1] = Int32GetDatum(spawn->seq);
	values[2] = CStringGetTextDatum(spawn->workflow);
	values[3] = Int32GetDatum(spawn->version);
	values[4] = Int32GetDatum(spawn->total);
	values[5] = Int32GetDatum(spawn->needed);
	values[6] = spawn->children == NULL ? (Datum) 0 : JsonbPGetDatum(spawn->children);
	nulls[6] = WF_NULL_FLAG(spawn->children);
	values[7] = success == NULL ? (Datum) 0 : JsonbPGetDatum(success);
	nulls[7] = WF_NULL_FLAG(success);
	values[8] = TimestampTzGetDatum(wf_now());
	wf_plan_execute(&plan, values, nulls);
}

/*
 * Locks a visit without waiting: false when somebody else holds it.  There may
 * be none.
 */
bool
wf_spawn_try_hold(int64 item_id, int seq)
{
	static WfPlan try_plan = {
		.name = "try to lock spawn",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT 1 FROM workflow.spawn WHERE item_id = $1 AND seq = $2 FOR UPDATE SKIP LOCKED",
	};
	static WfPlan find_plan = {
		.name = "find spawn",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT 1 FROM workflow.spawn WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[2] = {Int64GetDatum(item_id), Int32GetDatum(seq)};

	return wf_plan_execute(&try_plan, values, NULL) > 0 || wf_plan_execute(&find_plan, values, NULL) == 0;
}

static void
read_redo(WfSpawn *spawn, ArrayType *places)
{
	spawn->nredo = ArrayGetNItems(ARR_NDIM(places), ARR_DIMS(places));
	spawn->redo = spawn->nredo == 0 ? NULL : (int *) ARR_DATA_PTR(places);
}

/*
 * Locks and reads a visit; NULL when it is of none.
 */
WfSpawn *
wf_spawn_lock(int64 item_id, int seq)
{
	static WfPlan plan = {
		.name = "lock spawn",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT workflow, version, total, needed, children, started, ended, succeeded, verdict, redo, replays "
		"FROM workflow.spawn WHERE item_id = $1 AND seq = $2 FOR UPDATE",
	};
	Datum		values[2] = {Int64GetDatum(item_id), Int32GetDatum(seq)};
	WfSpawn    *spawn;

	if (wf_plan_execute(&plan, values, NULL) == 0)
		return NULL;
	spawn = palloc0(sizeof(WfSpawn));
	spawn->item_id = item_id;
	spawn->seq = seq;
	spawn->workflow = wf_result_text(0, 1);
	spawn->version = wf_result_int4(0, 2);
	spawn->total = wf_result_int4(0, 3);
	spawn->needed = wf_result_int4(0, 4);
	if (!wf_result_is_null(0, 5))
		spawn->children = DatumGetJsonbPCopy(wf_result_datum(0, 5, NULL));
	spawn->started = wf_result_int4(0, 6);
	spawn->ended = wf_result_int4(0, 7);
	spawn->succeeded = wf_result_int4(0, 8);
	spawn->verdict = wf_result_text(0, 9);
	read_redo(spawn, DatumGetArrayTypePCopy(wf_result_datum(0, 10, NULL)));
	spawn->replays = wf_result_int4(0, 11);

	return spawn;
}

/*
 * Whether children are still to be started, the first time or again.
 */
bool
wf_spawn_has_more(const WfSpawn *spawn)
{
	return spawn->started < spawn->total || spawn->redone < spawn->nredo;
}

void
wf_spawn_note_started(const WfSpawn *spawn)
{
	static WfPlan plan = {
		.name = "note started children",
		.expected = SPI_OK_UPDATE,
		.nargs = 4,
		.argtypes = {INT8OID, INT4OID, INT4OID, INT4OID},
		.sql = "UPDATE workflow.spawn SET started = $3, redo = redo[$4 + 1 :], "
		"children = CASE WHEN $3 < total OR $4 < cardinality(redo) THEN children END "
		"WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[4] = {
		Int64GetDatum(spawn->item_id), Int32GetDatum(spawn->seq), Int32GetDatum(spawn->started),
		Int32GetDatum(spawn->redone)
	};

	wf_plan_execute(&plan, values, NULL);
}

/*
 * Whether the present counts decide: enough have succeeded, or enough cannot
 * any more.  Returns the event that follows, and stores it; NULL: not yet.
 */
const char *
wf_spawn_decide(WfSpawn *spawn)
{
	static WfPlan plan = {
		.name = "decide spawn",
		.expected = SPI_OK_UPDATE,
		.nargs = 6,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT4OID, INT4OID},
		.sql = "UPDATE workflow.spawn SET verdict = $3, decided_at = $4, had_succeeded = $5, had_failed = $6 "
		"WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[6];

	if (spawn->succeeded >= spawn->needed)
		spawn->verdict = "ok";
	else if (spawn->total - (spawn->ended - spawn->succeeded) < spawn->needed)
		spawn->verdict = "error";
	else
		return NULL;
	values[0] = Int64GetDatum(spawn->item_id);
	values[1] = Int32GetDatum(spawn->seq);
	values[2] = CStringGetTextDatum(spawn->verdict);
	values[3] = TimestampTzGetDatum(wf_now());
	values[4] = Int32GetDatum(spawn->succeeded);
	values[5] = Int32GetDatum(spawn->ended - spawn->succeeded);
	wf_plan_execute(&plan, values, NULL);

	return spawn->verdict;
}

/*
 * The visit cannot go on, and its state does not handle "error": it is a dead
 * letter.  message NULL: too many children have failed.
 */
void
wf_spawn_note_failed(const WfItem *item, const char *error_class, const char *message)
{
	static WfPlan plan = {
		.name = "note failed spawn",
		.expected = SPI_OK_UPDATE,
		.nargs = 6,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID},
		.sql = "UPDATE workflow.spawn SET failed_at = $3, failed_in = $6, error_class = $4, "
		"error_message = coalesce($5, workflow._spawn_failure($1, $2)) WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[6];
	char		nulls[] = "      ";

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = TimestampTzGetDatum(wf_now());
	values[3] = CStringGetTextDatum(error_class);
	values[4] = wf_text_datum(message);
	nulls[4] = WF_NULL_FLAG(message);
	values[5] = CStringGetTextDatum(psprintf("%s/%s", item->workflow, item->state));
	wf_plan_execute(&plan, values, nulls);
}
