/*
 * store.c
 *	  Storing what was noted, as the transaction commits.
 *
 * Rows go to the end of a table without an index: nobody waits for anybody.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/end.h"
#include "base/table.h"
#include "base/wake.h"
#include "fmgr.h"
#include "note.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* In the order of sql/tables.sql. */
#define COLUMNS 11

#define BATCH 64

static WfTable delta_table = {"state_delta"};
static WfTable attempt_table = {"attempt_delta"};
static WfEnd own_end = 0;

Oid
wf_delta_table(void)
{
	return wf_table_oid_if_any(&delta_table);
}

Oid
wf_attempt_table(void)
{
	return wf_table_oid_if_any(&attempt_table);
}

static void
set_text(TupleTableSlot *row, int i, Datum text)
{
	row->tts_isnull[i] = text == (Datum) 0;
	row->tts_values[i] = text;
}

static void
set_int(TupleTableSlot *row, int i, bool is_there, int32 value)
{
	row->tts_isnull[i] = !is_there;
	row->tts_values[i] = Int32GetDatum(value);
}

static void
fill(TupleTableSlot *row, const WfNote *note)
{
	const WfNoteKey *key = &note->key;
	const WfPath *path = key->path;

	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	for (int i = 0; i < 3; i++)
		set_text(row, i, path->texts[i]);
	set_int(row, 3, true, path->version);
	set_int(row, 4, true, key->minute);
	set_int(row, 5, true, note->n);
	row->tts_isnull[6] = key->class < 0;
	row->tts_values[6] = Int16GetDatum(key->class);
	set_int(row, 7, key->has_left_since, key->left_since);
	set_int(row, 8, key->entered_since != key->minute, key->entered_since);
	set_int(row, 9, path->from_state != NULL && path->from_version != path->version,
			path->from_version);
	set_text(row, 10, path->texts[3]);
	ExecStoreVirtualTuple(row);
}

static void
fill_attempt(TupleTableSlot *row, const WfAttemptNote *note)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	set_int(row, 0, true, note->endpoint_id);
	set_text(row, 1, CStringGetTextDatum(note->outcome));
	set_text(row, 2, CStringGetTextDatum(note->error_class));
	set_int(row, 3, true, note->n);
	ExecStoreVirtualTuple(row);
}

/*
 * Most transactions move one item: the slot for such a row is kept until something
 * of a table changes.
 */
static TupleTableSlot *
kept_slot(Relation table)
{
	static TupleTableSlot *slot = NULL;
	static uint64 as_of = 0;
	MemoryContext caller;

	if (as_of == wf_table_changes())
		return slot;
	as_of = 0;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	if (slot != NULL)
	{
		TupleDesc	columns = slot->tts_tupleDescriptor;

		ExecDropSingleTupleTableSlot(slot);
		FreeTupleDesc(columns);
		slot = NULL;
	}
	slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(table)), &TTSOpsVirtual);
	MemoryContextSwitchTo(caller);
	as_of = wf_table_changes();

	return slot;
}

static void
store_move(const WfNote *note)
{
	Relation	table = table_open(wf_table_oid(&delta_table), RowExclusiveLock);
	TupleTableSlot *row = kept_slot(table);

	fill(row, note);
	wf_append(table, &row, 1);
	ExecClearTuple(row);
	table_close(table, NoLock);
}

/*
 * Either moves or attempts.
 */
static void
store(WfTable *into, const WfNote *notes, const WfAttemptNote *attempts, int count)
{
	Relation	table = table_open(wf_table_oid(into), RowExclusiveLock);
	TupleTableSlot *rows[BATCH];
	int			n_rows = Min(count, BATCH);

	for (int i = 0; i < n_rows; i++)
		rows[i] = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsHeapTuple);
	for (int first = 0; first < count; first += BATCH)
	{
		int			n = Min(BATCH, count - first);

		for (int i = 0; i < n; i++)
		{
			if (notes != NULL)
				fill(rows[i], &notes[first + i]);
			else
				fill_attempt(rows[i], &attempts[first + i]);
		}
		wf_append(table, rows, n);
	}
	for (int i = 0; i < n_rows; i++)
		ExecDropSingleTupleTableSlot(rows[i]);
	table_close(table, NoLock);
}

/*
 * Something is about to be noted.
 */
void
wf_notes_begin(void)
{
	wf_end_is_due(own_end);
}

/*
 * What the transaction has noted so far becomes rows; what it notes from now on
 * becomes others.
 */
static void
store_notes(void)
{
	int			n_notes = 0;
	int			n_attempts;
	const WfNote *notes = wf_notes_any() ? wf_notes_take(&n_notes) : NULL;
	const WfAttemptNote *attempts = wf_attempt_notes_take(&n_attempts);

	if (n_notes == 1)
		store_move(notes);
	else if (n_notes > 1)
		store(&delta_table, notes, NULL, n_notes);
	if (n_attempts > 0)
		store(&attempt_table, NULL, attempts, n_attempts);
	if (n_notes > 0 || n_attempts > 0)
		wf_wake_folder_at_commit(GetCurrentStatementStartTimestamp() + WF_FOLD_US);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		store_notes();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
	{
		wf_notes_forget();
		wf_attempt_notes_forget();
	}
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
	{
		wf_notes_end(mine, parent, event == SUBXACT_EVENT_COMMIT_SUB);
		wf_attempt_notes_end(mine, parent, event == SUBXACT_EVENT_COMMIT_SUB);
	}
}

void
wf_statistics_init(void)
{
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}
