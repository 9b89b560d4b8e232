/*
 * move_row.c
 *	  Moving the row of an item without a statement.
 *
 * The engine's own move needs no judgement, so it needs no trigger: where nobody
 * else has a trigger or a rule on the table, a condition, a generated column, a foreign
 * key of what a move changes, or an index of a kind that we do not fill, the row is written as the executor would
 * write it.
 * Everywhere else move.c updates it by a statement.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static WfTable item_table = {"item"};

static bool
is_ours(const Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;
	const TupleConstr *constraints = RelationGetDescr(table)->constr;
	int			n_ours = 0;

	if (triggers == NULL || table->rd_rules != NULL ||
		constraints == NULL || constraints->num_check > 0 || wf_has_computed_columns(constraints))
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgisinternal || !TRIGGER_FOR_UPDATE(trigger->tgtype))
			continue;
		if (trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN || !wf_item_is_own_trigger(trigger->tgname))
			return false;
		n_ours++;
	}

	return n_ours == WF_ITEM_OWN_TRIGGERS && wf_append_is_simple(table);
}

/*
 * Whether an UPDATE would fire our triggers only, and those, and see to nothing
 * else but foreign keys.  Looked at again when something of a table has changed.
 */
bool
wf_item_table_is_ours(const Relation table)
{
	static Oid	known = InvalidOid;
	static uint64 as_of = 0;
	static bool known_is_ours = false;
	uint64		changes = wf_table_changes();

	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	if (known != RelationGetRelid(table) || as_of != changes)
	{
		known_is_ours = is_ours(table);
		known = RelationGetRelid(table);
		as_of = changes;
	}

	return known_is_ours;
}

static void
set_text(TupleTableSlot *row, int column, const char *text)
{
	row->tts_isnull[column - 1] = text == NULL;

	row->tts_values[column - 1] = wf_text_datum(text);
}

/*
 * The row in the state that the move leads to.
 */
void
wf_item_fill_row(TupleTableSlot *row, TupleTableSlot *old, const WfActiveMove *move,
				 const WfItem *stamps)
{
	int			natts = row->tts_tupleDescriptor->natts;

	slot_getallattrs(old);
	ExecClearTuple(row);
	memcpy(row->tts_values, old->tts_values, sizeof(Datum) * natts);
	memcpy(row->tts_isnull, old->tts_isnull, sizeof(bool) * natts);
	set_text(row, WF_ITEM_COLUMN_STATE, move->to->name);
	row->tts_values[WF_ITEM_COLUMN_SINCE - 1] = TimestampTzGetDatum(stamps->since);
	row->tts_values[WF_ITEM_COLUMN_SEQ - 1] = Int32GetDatum(stamps->seq);
	set_text(row, WF_ITEM_COLUMN_OUTCOME, stamps->outcome);
	set_text(row, WF_ITEM_COLUMN_ORIGIN, stamps->origin);
	if (move->move->data != NULL)
		row->tts_values[WF_ITEM_COLUMN_DATA - 1] = JsonbPGetDatum(move->move->data);
	ExecStoreVirtualTuple(row);
}

/*
 * Writes the new row over the one at that place; false when that is not the
 * latest, or not the one that was read.
 */
bool
wf_item_write_row(Relation table, ItemPointer place, TupleTableSlot *row)
{
	TM_FailureData failure;
	LockTupleMode mode;
	WfUpdateIndexes indexes;

	if (table_tuple_update(table, place, row, GetCurrentCommandId(true), GetActiveSnapshot(),
						   InvalidSnapshot, true, &failure, &mode, &indexes) != TM_Ok)
		return false;
	if (wf_needs_index_entries(indexes))
		wf_append_to_indexes(table, &row, 1);

	return true;
}

/*
 * Reads the row that the item was read from, and writes the one after the move.
 */
static WfItem *
move_row(Relation table, const WfActiveMove *move)
{
	const WfItem *item = move->item;
	ItemPointerData place = item->place;
	TupleTableSlot *old = table_slot_create(table, NULL);
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsHeapTuple);
	WfItem	   *moved = NULL;
	WfItem		stamps = {0};

	if (table_tuple_fetch_row_version(table, &place, SnapshotSelf, old))
	{
		WfItem	   *before = wf_item_from_row(old, NULL, NULL);

		wf_item_expected_stamps(before, move->from, move->to, NULL, &stamps);
		if (before->item_id == item->item_id && before->seq == item->seq)
		{
			wf_item_fill_row(row, old, move, &stamps);
			if (!wf_item_concerns_constraints(table, old, row) && wf_item_write_row(table, &place, row))
			{
				moved = wf_item_from_row(row, old, before);
				moved->data = move->move->data != NULL ? move->move->data : wf_item_data_from_row(row);
				moved->place = row->tts_tid;
			}
		}
	}
	ExecDropSingleTupleTableSlot(old);
	ExecDropSingleTupleTableSlot(row);

	return moved;
}

/*
 * Returns the item after the move, of which nothing else has followed yet; NULL,
 * and has done nothing, when that takes a statement.
 */
WfItem *
wf_item_move_row(const WfActiveMove *move)
{
	Relation	table;
	WfItem	   *moved = NULL;

	if (!ItemPointerIsValid(&move->item->place))
		return NULL;
	CommandCounterIncrement();	/* as before a statement */
	table = table_open(wf_table_oid(&item_table), RowExclusiveLock);
	if (wf_item_table_is_ours(table))
	{
		CheckCmdReplicaIdentity(table, CMD_UPDATE);
		moved = move_row(table, move);
	}
	table_close(table, NoLock);
	CommandCounterIncrement();

	return moved;
}
