/*
 * floor.c
 *	  What a queue cannot go below: functions for PostgreSQL that do next to
 *	  nothing.
 *
 *	  bench_store(regclass, jsonb) stores a row of one column, without a
 *	  statement, in a table without indexes
 *	  bench_nothing()
 *
 * Both return 1.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_store);
PG_FUNCTION_INFO_V1(bench_nothing);

Datum
bench_store(PG_FUNCTION_ARGS)
{
	Relation	relation = table_open(PG_GETARG_OID(0), RowExclusiveLock);
	TupleTableSlot *row = table_slot_create(relation, NULL);

	ExecClearTuple(row);
	row->tts_values[0] = PG_GETARG_DATUM(1);
	row->tts_isnull[0] = false;
	ExecStoreVirtualTuple(row);
	table_tuple_insert(relation, row, GetCurrentCommandId(true), 0, NULL);
	ExecDropSingleTupleTableSlot(row);
	table_close(relation, NoLock);

	PG_RETURN_INT64(1);
}

Datum
bench_nothing(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(1);
}
