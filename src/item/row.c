/*
 * row.c
 *	  Reading and locking the row of an item.
 *
 * The row's lock serialises everything that happens to an item: whoever moves
 * it holds the lock until the transaction ends, and reads what the one before
 * left.  Where both are needed, the item is locked before its job.
 */
#include "postgres.h"

#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define ITEM_COLUMNS \
	"i.item_id, i.workflow, i.version, i.key, i.state, i.seq, i.origin, i.outcome, " \
	"i.paused_at IS NOT NULL, i.submitted_by, i.priority, i.data, i.since, i.keeps_events "
#define ITEM_SOURCE \
	"FROM workflow.item AS i WHERE i.item_id = $1 "

static WfPlan read_plan = {
	.name = "read item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT " ITEM_COLUMNS ITEM_SOURCE,
};

/* Columns of workflow.item, in the order of sql/tables.sql. */
enum
{
	COLUMN_ITEM_ID = 1,
	COLUMN_WORKFLOW,
	COLUMN_VERSION,
	COLUMN_KEY,
	COLUMN_STATE,
	COLUMN_SINCE = WF_ITEM_COLUMN_SINCE,
	COLUMN_SEQ = WF_ITEM_COLUMN_SEQ,
	COLUMN_OUTCOME = WF_ITEM_COLUMN_OUTCOME,
	COLUMN_ORIGIN = WF_ITEM_COLUMN_ORIGIN,
	COLUMN_PAUSED_AT,
	COLUMN_RECEIVED_AT = 15,
	COLUMN_SUBMITTED_BY,
	COLUMN_PRIORITY = 18,
	COLUMN_PARENT_ID = 23,
	COLUMN_PARENT_SEQ,
	COLUMN_KEEPS_EVENTS = 26,
};

static const WfItem no_item = {0};

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
	item->keeps_events = DatumGetBool(wf_result_datum(0, 14, NULL));

	return item;
}

/*
 * Tells whether the whole workflow is paused.  (An item may be of a version that
 * is not there.)
 */
static bool
workflow_is_paused(const char *workflow, int version)
{
	const WfGraph *graph = wf_graph_known(workflow, version);

	return graph != NULL ? wf_graph_is_paused(graph) : wf_workflow_is_paused(workflow);
}

static WfItem *
with_pause(WfItem *item)
{
	if (item != NULL)
		item->is_paused |= workflow_is_paused(item->workflow, item->version);

	return item;
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
	return require(with_pause(wf_item_lock_row(item_id, true)), item_id);
}

/*
 * The same, without waiting: NULL when somebody else holds the item.
 */
WfItem *
wf_item_try_lock(int64 item_id)
{
	return with_pause(wf_item_lock_row(item_id, false));
}

/*
 * Reads an item without locking it; NULL when there is none.
 */
WfItem *
wf_item_find(int64 item_id)
{
	Datum		value = Int64GetDatum(item_id);

	return wf_plan_execute(&read_plan, &value, NULL) == 0 ? NULL : with_pause(item_from_result());
}

/*
 * The same; raises WF012.
 */
WfItem *
wf_item_read(int64 item_id)
{
	return require(wf_item_find(item_id), item_id);
}

static bool
is_null(TupleTableSlot *row, int column)
{
	return row->tts_isnull[column - 1];
}

static Datum
column_datum(TupleTableSlot *row, int column)
{
	return row->tts_values[column - 1];
}

static bool
is_same_text(Datum left, Datum right)
{
	return VARSIZE_ANY(left) == VARSIZE_ANY(right) &&
		memcmp(DatumGetPointer(left), DatumGetPointer(right), VARSIZE_ANY(left)) == 0;
}

/*
 * A text of a row; where another row has the same one, that of its item.
 */
static const char *
column_text(TupleTableSlot *row, int column, TupleTableSlot *other, const char *others)
{
	if (is_null(row, column))
		return NULL;
	if (others != NULL && is_same_text(column_datum(row, column), column_datum(other, column)))
		return others;

	return TextDatumGetCString(column_datum(row, column));
}

static void
read_parent(TupleTableSlot *row, WfItem *item)
{
	if (is_null(row, COLUMN_PARENT_ID))
		return;
	item->parent_id = DatumGetInt64(column_datum(row, COLUMN_PARENT_ID));
	item->parent_seq = DatumGetInt32(column_datum(row, COLUMN_PARENT_SEQ));
}

/*
 * All but its texts.
 */
static void
read_numbers(TupleTableSlot *row, WfItem *item)
{
	item->item_id = DatumGetInt64(column_datum(row, COLUMN_ITEM_ID));
	item->version = DatumGetInt32(column_datum(row, COLUMN_VERSION));
	item->since = DatumGetTimestampTz(column_datum(row, COLUMN_SINCE));
	item->seq = DatumGetInt32(column_datum(row, COLUMN_SEQ));
	item->is_paused = !is_null(row, COLUMN_PAUSED_AT);
	item->priority = DatumGetInt32(column_datum(row, COLUMN_PRIORITY));
	item->keeps_events = DatumGetBool(column_datum(row, COLUMN_KEEPS_EVENTS));
	read_parent(row, item);
	item->received_at = DatumGetTimestampTz(column_datum(row, COLUMN_RECEIVED_AT));
	item->is_unmoved = item->since == item->received_at;
}

static WfItem *
read_item(TupleTableSlot *row, TupleTableSlot *old_row, const WfItem *old)
{
	WfItem	   *item = palloc0(sizeof(WfItem));

	slot_getallattrs(row);
	read_numbers(row, item);
	item->workflow = column_text(row, COLUMN_WORKFLOW, old_row, old->workflow);
	item->state = column_text(row, COLUMN_STATE, old_row, old->state);
	item->outcome = column_text(row, COLUMN_OUTCOME, old_row, old->outcome);
	item->origin = column_text(row, COLUMN_ORIGIN, old_row, old->origin);

	return item;
}

static void
read_names(TupleTableSlot *row, TupleTableSlot *old_row, const WfItem *old, WfItem *item)
{
	item->key = column_text(row, COLUMN_KEY, old_row, old->key);
	item->submitted_by = column_text(row, COLUMN_SUBMITTED_BY, old_row, old->submitted_by);
}

/*
 * The item that a row of workflow.item holds, without its data.  Says nothing
 * of a pause of the whole workflow.  old, of the row before, shares the texts
 * that are the same; or it is NULL.
 */
WfItem *
wf_item_from_row(TupleTableSlot *row, TupleTableSlot *old_row, const WfItem *old)
{
	WfItem	   *item;

	if (old == NULL)
		old = &no_item;
	item = read_item(row, old_row, old);
	read_names(row, old_row, old, item);

	return item;
}

/*
 * The same without what most moves do not ask for, its key and who submitted it.
 */
WfItem *
wf_item_brief_from_row(TupleTableSlot *row)
{
	return read_item(row, NULL, &no_item);
}

/*
 * The same of one whose graph is known, and whose names are the graph's then: nothing
 * is copied.  Returns its state; NULL where that, or the graph, is not known.
 */
const WfState *
wf_item_known_from_row(TupleTableSlot *row, WfItem *item, const WfGraph **graph)
{
	const WfState *state;

	slot_getallattrs(row);
	*graph = wf_graph_known_by_text(column_datum(row, COLUMN_WORKFLOW),
									DatumGetInt32(column_datum(row, COLUMN_VERSION)));
	if (*graph == NULL)
		return NULL;
	state = wf_graph_state_by_text(*graph, column_datum(row, COLUMN_STATE));
	if (state == NULL)
		return NULL;
	memset(item, 0, sizeof(WfItem));
	read_numbers(row, item);
	item->workflow = (*graph)->workflow;
	item->state = state->name;
	item->outcome = column_text(row, COLUMN_OUTCOME, NULL, NULL);
	item->origin = column_text(row, COLUMN_ORIGIN, NULL, NULL);

	return state;
}

void
wf_item_complete_from_row(TupleTableSlot *row, WfItem *item)
{
	read_names(row, NULL, &no_item, item);
}

/*
 * The item before it was moved to what new says; nothing but state, since and seq
 * is another one.
 */
WfItem *
wf_item_before(const WfItem *new, const WfItemBefore *before)
{
	WfItem	   *old = palloc(sizeof(WfItem));

	*old = *new;
	old->state = TextDatumGetCString(before->state);
	old->since = before->since;
	old->seq = before->seq;
	old->is_unmoved = old->since == new->received_at;

	return old;
}

/*
 * The data in a row of workflow.item.
 */
Jsonb *
wf_item_data_from_row(TupleTableSlot *row)
{
	slot_getallattrs(row);

	return DatumGetJsonbPCopy(column_datum(row, WF_ITEM_COLUMN_DATA));
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
		.sql = "SELECT 1 FROM workflow.item AS i "
		"LEFT JOIN workflow.workflow AS w ON w.workflow = i.workflow "
		"WHERE i.item_id = $1 AND (i.paused_at IS NOT NULL OR w.paused_at IS NOT NULL)",
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
