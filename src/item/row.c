/*
 * row.c
 *	  Reading and locking the row of an item.
 *
 * The row's lock serialises everything that happens to an item: whoever moves
 * it holds the lock until the transaction ends, and reads what the one before
 * left.  Where both are needed, the item is locked before its job.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define ITEM_COLUMNS \
	"i.item_id, i.workflow, i.version, i.key, i.state, i.seq, i.origin, i.outcome, " \
	"i.paused_at IS NOT NULL OR w.paused_at IS NOT NULL, i.submitted_by, " \
	"i.priority, i.data, i.since "
#define ITEM_SOURCE \
	"FROM workflow.item AS i " \
	"LEFT JOIN workflow.workflow AS w ON w.workflow = i.workflow " \
	"WHERE i.item_id = $1 "

static WfPlan read_plan = {
	.name = "read item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " ITEM_COLUMNS ITEM_SOURCE,
};

static WfPlan lock_plan = {
	.name = "lock item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " ITEM_COLUMNS ITEM_SOURCE "FOR NO KEY UPDATE OF i",
};

static WfPlan try_lock_plan = {
	.name = "try to lock item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " ITEM_COLUMNS ITEM_SOURCE "FOR NO KEY UPDATE OF i SKIP LOCKED",
};

/* Columns of workflow.item, in the order of sql/tables.sql. */
enum
{
	COLUMN_ITEM_ID = 1,
	COLUMN_WORKFLOW,
	COLUMN_VERSION,
	COLUMN_KEY,
	COLUMN_STATE,
	COLUMN_SINCE,
	COLUMN_SEQ,
	COLUMN_OUTCOME,
	COLUMN_ORIGIN,
	COLUMN_PAUSED_AT,
	COLUMN_SUBMITTED_BY = 16,
	COLUMN_PRIORITY = 18,
	COLUMN_PARENT_ID = 23,
	COLUMN_PARENT_SEQ,
};

static Jsonb *
result_jsonb(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static WfItem *
item_from_result(void)
{
	WfItem	   *item = palloc0(sizeof(WfItem));

	item->item_id = wf_result_int8(0, 1);
	item->workflow = wf_result_text(0, 2);
	item->version = wf_result_int4(0, 3);
	item->key = wf_result_text(0, 4);
	item->state = wf_result_text(0, 5);
	item->seq = wf_result_int4(0, 6);
	item->origin = wf_result_text(0, 7);
	item->outcome = wf_result_text(0, 8);
	item->is_paused = DatumGetBool(wf_result_datum(0, 9, NULL));
	item->submitted_by = wf_result_text(0, 10);
	item->priority = wf_result_int4(0, 11);
	item->data = result_jsonb(0, 12);
	item->since = DatumGetTimestampTz(wf_result_datum(0, 13, NULL));

	return item;
}

static WfItem *
run(WfPlan *plan, int64 item_id)
{
	Datum		value = Int64GetDatum(item_id);

	return wf_plan_execute(plan, &value, NULL) == 0 ? NULL : item_from_result();
}

static WfItem *
require(WfItem *item, int64 item_id)
{
	if (item == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WF_UNKNOWN),
				 errmsg("item " INT64_FORMAT " does not exist", item_id),
				 errdetail("No row of workflow.item has this item_id."),
				 errhint("SELECT item_id, workflow, key FROM workflow.items shows the items.")));

	return item;
}

/*
 * Locks an item until the transaction ends and reads it as the transaction
 * before left it.
 */
WfItem *
wf_item_lock(int64 item_id)
{
	return require(run(&lock_plan, item_id), item_id);
}

/*
 * The same, without waiting: NULL when somebody else holds the item.
 */
WfItem *
wf_item_try_lock(int64 item_id)
{
	return run(&try_lock_plan, item_id);
}

/*
 * Reads an item without locking it; NULL when there is none.
 */
WfItem *
wf_item_find(int64 item_id)
{
	return run(&read_plan, item_id);
}

/*
 * The same; raises WF012.
 */
WfItem *
wf_item_read(int64 item_id)
{
	return require(wf_item_find(item_id), item_id);
}

static char *
column_text(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
read_parent(HeapTuple tuple, TupleDesc desc, WfItem *item)
{
	bool		isnull;
	Datum		parent_id = heap_getattr(tuple, COLUMN_PARENT_ID, desc, &isnull);

	if (isnull)
		return;
	item->parent_id = DatumGetInt64(parent_id);
	item->parent_seq = DatumGetInt32(heap_getattr(tuple, COLUMN_PARENT_SEQ, desc, &isnull));
}

static Datum
column_datum(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;

	return heap_getattr(tuple, column, desc, &isnull);
}

/*
 * The item that a row of workflow.item holds, without its data.  Says nothing
 * of a pause of the whole workflow.
 */
WfItem *
wf_item_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	WfItem	   *item = palloc0(sizeof(WfItem));

	item->item_id = DatumGetInt64(column_datum(tuple, desc, COLUMN_ITEM_ID));
	item->workflow = column_text(tuple, desc, COLUMN_WORKFLOW);
	item->version = DatumGetInt32(column_datum(tuple, desc, COLUMN_VERSION));
	item->key = column_text(tuple, desc, COLUMN_KEY);
	item->state = column_text(tuple, desc, COLUMN_STATE);
	item->since = DatumGetTimestampTz(column_datum(tuple, desc, COLUMN_SINCE));
	item->seq = DatumGetInt32(column_datum(tuple, desc, COLUMN_SEQ));
	item->outcome = column_text(tuple, desc, COLUMN_OUTCOME);
	item->origin = column_text(tuple, desc, COLUMN_ORIGIN);
	item->is_paused = !heap_attisnull(tuple, COLUMN_PAUSED_AT, desc);
	item->submitted_by = column_text(tuple, desc, COLUMN_SUBMITTED_BY);
	item->priority = DatumGetInt32(column_datum(tuple, desc, COLUMN_PRIORITY));
	read_parent(tuple, desc, item);

	return item;
}

/*
 * The data in a row of workflow.item.
 */
Jsonb *
wf_item_data_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	return DatumGetJsonbPCopy(column_datum(tuple, desc, WF_ITEM_COLUMN_DATA));
}

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

/*
 * Copies an item into the current memory context.
 */
WfItem *
wf_item_copy(const WfItem *item)
{
	WfItem	   *copy = palloc(sizeof(WfItem));

	*copy = *item;
	copy->workflow = copy_text(item->workflow);
	copy->key = copy_text(item->key);
	copy->state = copy_text(item->state);
	copy->origin = copy_text(item->origin);
	copy->outcome = copy_text(item->outcome);
	copy->submitted_by = copy_text(item->submitted_by);
	copy->data = (Jsonb *) memcpy(palloc(VARSIZE(item->data)), item->data,
								  VARSIZE(item->data));

	return copy;
}

/*
 * The route of a key: the text in {...}, else what is before the first '/',
 * else all of it.
 */
char *
wf_item_route_of(const char *key)
{
	const char *open = strchr(key, '{');
	const char *close = open == NULL ? NULL : strchr(open, '}');

	if (close != NULL && close > open + 1)
		return pnstrdup(open + 1, close - open - 1);

	return pnstrdup(key, strcspn(key, "/"));
}

/*
 * Tells whether the whole workflow is paused.
 */
bool
wf_item_workflow_is_paused(const char *workflow)
{
	static WfPlan plan = {
		.name = "workflow is paused",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT 1 FROM workflow.workflow AS w "
		"WHERE w.workflow = $1 AND w.paused_at IS NOT NULL",
	};
	Datum		value = CStringGetTextDatum(workflow);

	return wf_plan_execute(&plan, &value, NULL) > 0;
}

/*
 * Tells whether an item is paused, by itself or with its workflow; one that is
 * gone is not.
 */
bool
wf_item_is_paused(int64 item_id)
{
	static WfPlan plan = {
		.name = "item is paused",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT 1 " ITEM_SOURCE
		"AND (i.paused_at IS NOT NULL OR w.paused_at IS NOT NULL)",
	};
	Datum		value = Int64GetDatum(item_id);

	return wf_plan_execute(&plan, &value, NULL) > 0;
}

/*
 * Raises WF008 while the item or its workflow is paused.
 */
void
wf_item_require_running(const WfItem *item)
{
	if (item->is_paused)
		ereport(ERROR,
				(errcode(ERRCODE_WF_PAUSED),
				 errmsg("item " INT64_FORMAT " is paused", item->item_id),
				 errdetail("%s", wf_item_facts(item)),
				 errhint("An operator lets it go on: SELECT workflow.resume(" INT64_FORMAT ", 'reason'), "
						 "or workflow.resume_workflow('%s') when the whole workflow is paused.",
						 item->item_id, item->workflow)));
}
