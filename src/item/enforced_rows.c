/*
 * enforced_rows.c
 *	  The rows of a user's table as the extension looks at them.
 *
 * The table is read directly and not by a query: what its owner has attached
 * to it, policies and conditions of indexes, would run with the rights of the
 * extension.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "item/enforced.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* One reading of a table. */
typedef struct Reading
{
	const char *state_column;
	const char *key_column;
	Datum	   *skipped;		/* rows in these states are not wanted */
	int			nskipped;
	ReturnSetInfo *rows;
} Reading;

static bool
is_skipped(const Reading *reading, const WfStateText *state)
{
	for (int i = 0; state->text !=NULL && i < reading->nskipped; i++)
	{
		text	   *skipped = DatumGetTextPP(reading->skipped[i]);

		if (VARSIZE_ANY_EXHDR(skipped) == state->length &&
			memcmp(VARDATA_ANY(skipped), state->text, state->length) == 0)
			return true;
	}

	return false;
}

static void
put_row(const Reading *reading, const WfEnforcedColumns *columns, TupleTableSlot *row)
{
	WfStateText state = wf_enforced_state_text(columns, row);
	const char *key;
	Datum		values[2] = {0};
	bool		nulls[2];

	if (is_skipped(reading, &state))
		return;
	key = wf_enforced_key(columns, row);
	nulls[0] = key == NULL;
	if (key != NULL)
		values[0] = CStringGetTextDatum(key);
	nulls[1] = state.text == NULL;
	if (state.text !=NULL)
		values[1] = PointerGetDatum(cstring_to_text_with_len(state.text, state.length));
	tuplestore_putvalues(reading->rows->setResult, reading->rows->setDesc, values, nulls);
}

static void
read_table(const Reading *reading, Oid oid)
{
	Relation	table = table_open(oid, AccessShareLock);
	MemoryContext per_row;
	MemoryContext previous;
	WfEnforcedColumns columns;
	TupleTableSlot *row;
	TableScanDesc scan;

	if (table->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(table, AccessShareLock);
		return;
	}
	wf_enforced_columns(table, reading->state_column, reading->key_column, &columns);
	per_row = AllocSetContextCreate(CurrentMemoryContext, "wf row", ALLOCSET_SMALL_SIZES);
	row = table_slot_create(table, NULL);
	scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	previous = MemoryContextSwitchTo(per_row);
	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		CHECK_FOR_INTERRUPTS();
		put_row(reading, &columns, row);
		MemoryContextReset(per_row);
	}
	MemoryContextSwitchTo(previous);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	MemoryContextDelete(per_row);
	table_close(table, AccessShareLock);
}

PG_FUNCTION_INFO_V1(wf_enforced_rows);

/*
 * _enforced_rows(relation regclass, state_column name, key_column name, skipped
 * text[]) returns setof (key text, state text): of the table itself, or of all
 * partitions
 */
Datum
wf_enforced_rows(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	Reading		reading = {0};
	List	   *tables = list_make1_oid(oid);
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	reading.state_column = NameStr(*PG_GETARG_NAME(1));
	reading.key_column = NameStr(*PG_GETARG_NAME(2));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), TEXTOID, -1, false, TYPALIGN_INT,
					  &reading.skipped, NULL, &reading.nskipped);
	reading.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	if (get_rel_relkind(oid) == RELKIND_PARTITIONED_TABLE)
		tables = find_all_inheritors(oid, AccessShareLock, NULL);
	foreach(cell, tables)
		read_table(&reading, lfirst_oid(cell));

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_enforced_check_columns);

/*
 * _enforced_check_columns(relation regclass, state_column name, key_column name):
 * raises when they will not do
 */
Datum
wf_enforced_check_columns(PG_FUNCTION_ARGS)
{
	Relation	relation = table_open(PG_GETARG_OID(0), AccessShareLock);
	WfEnforcedColumns columns;

	wf_enforced_columns(relation, NameStr(*PG_GETARG_NAME(1)), NameStr(*PG_GETARG_NAME(2)), &columns);
	table_close(relation, NoLock);

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_trigger_arguments);

/*
 * _trigger_arguments(tgargs bytea) returns text[]: as the catalog keeps them,
 * each ended by a null byte
 */
Datum
wf_trigger_arguments(PG_FUNCTION_ARGS)
{
	bytea	   *arguments = PG_GETARG_BYTEA_PP(0);
	const char *next = VARDATA_ANY(arguments);
	const char *end = next + VARSIZE_ANY_EXHDR(arguments);
	ArrayBuildState *result = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	for (; next < end; next += strlen(next) + 1)
		result = accumArrayResult(result, CStringGetTextDatum(next), false, TEXTOID,
								  CurrentMemoryContext);

	PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
}
