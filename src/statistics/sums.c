/*
 * sums.c
 *	  What transactions have stored of moves, taken away and summed up.
 *
 * Each row goes as it is read: a DELETE would read them all again.
 * Rows are many and paths are few: grouping them by eleven columns is most of the
 * work where a statement does it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/guard.h"
#include "base/table.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static WfTable delta_table = {"state_delta"};

/* That is summed up; the rows of one group say the same in all others. */
#define MOVES 5

typedef struct Row
{
	uint32		hash;
	Datum	   *values;
	bool	   *nulls;
} Row;

typedef struct Sum
{
	Row			row;
	int64		moves;
	char		status;
} Sum;

static bool same_group(TupleDesc desc, Row one, Row other);

#define SH_PREFIX sums
#define SH_ELEMENT_TYPE Sum
#define SH_KEY_TYPE Row
#define SH_KEY row
#define SH_HASH_KEY(table, key) (key).hash
#define SH_EQUAL(table, a, b) same_group((TupleDesc) (table)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->row.hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow=compatible-local"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop

static bool
same_group(TupleDesc desc, Row one, Row other)
{
	if (memcmp(one.nulls, other.nulls, sizeof(bool) * desc->natts) != 0)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		const		FormData_pg_attribute *column = TupleDescAttr(desc, i);

		if (i != MOVES && !one.nulls[i] &&
			!datum_image_eq(one.values[i], other.values[i], column->attbyval, column->attlen))
			return false;
	}

	return true;
}

static uint32
hash_value(const FormData_pg_attribute * column, Datum value)
{
	const struct varlena *bytes;

	if (column->attbyval)
		return hash_uint32(DatumGetUInt32(value));
	bytes = PG_DETOAST_DATUM_PACKED(value);

	return DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)));
}

static uint32
hash_group(TupleDesc desc, const Datum *values, const bool *nulls)
{
	uint32		hash = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		hash = pg_rotate_left32(hash, 1);
		if (i != MOVES && !nulls[i])
			hash ^= hash_value(TupleDescAttr(desc, i), values[i]);
	}

	return hash;
}

static void
keep(TupleDesc desc, Row *row)
{
	const Row	theirs = *row;

	row->values = palloc(sizeof(Datum) * desc->natts);
	row->nulls = palloc(sizeof(bool) * desc->natts);
	memcpy(row->nulls, theirs.nulls, sizeof(bool) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		const		FormData_pg_attribute *column = TupleDescAttr(desc, i);

		row->values[i] = theirs.nulls[i] ? (Datum) 0 :
			datumCopy(theirs.values[i], column->attbyval, column->attlen);
	}
}

static void
add(sums_hash * sums, TupleDesc desc, TupleTableSlot *slot)
{
	Row			row = {.values = slot->tts_values,.nulls = slot->tts_isnull};
	bool		is_known;
	Sum		   *sum;

	slot_getallattrs(slot);
	row.hash = hash_group(desc, row.values, row.nulls);
	sum = sums_insert(sums, row, &is_known);
	if (!is_known)
	{
		keep(desc, &sum->row);
		sum->moves = 0;
	}
	sum->moves += DatumGetInt32(row.values[MOVES]);
}

/*
 * Takes a row away; false where somebody else has, past the guards.
 */
static bool
take(Relation table, TupleTableSlot *slot, Snapshot snapshot, CommandId command)
{
	TM_FailureData failure;

	return table_tuple_delete(table, &slot->tts_tid, command, snapshot, InvalidSnapshot, true,
							  &failure, false) == TM_Ok;
}

static void
put(ReturnSetInfo *result, const Sum *sum)
{
	for (int64 left = sum->moves; left > 0; left -= PG_INT32_MAX)
	{
		sum->row.values[MOVES] = Int32GetDatum((int32) Min(left, PG_INT32_MAX));
		tuplestore_putvalues(result->setResult, result->setDesc, sum->row.values, sum->row.nulls);
	}
}

PG_FUNCTION_INFO_V1(wf_sql_take_moves);

/*
 * _take_moves() returns setof workflow.state_delta: takes away the rows that the
 * statement sees, and returns those that differ in the number of moves alone as one.
 */
Datum
wf_sql_take_moves(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext mine = AllocSetContextCreate(CurrentMemoryContext, "sums of moves", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	Relation	table = table_open(wf_table_oid(&delta_table), RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(table);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	CommandId	command = GetCurrentCommandId(true);
	TableScanDesc scan;
	sums_hash  *sums;
	sums_iterator iterator;

	wf_guard_require(delta_table.name);
	InitMaterializedSRF(fcinfo, 0);
	caller = MemoryContextSwitchTo(mine);
	sums = sums_create(mine, 256, desc);
	scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		if (take(table, slot, GetActiveSnapshot(), command))
			add(sums, desc, slot);
	table_endscan(scan);
	sums_start_iterate(sums, &iterator);
	for (Sum *sum; (sum = sums_iterate(sums, &iterator)) != NULL;)
		put(result, sum);
	MemoryContextSwitchTo(caller);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	MemoryContextDelete(mine);

	return (Datum) 0;
}
