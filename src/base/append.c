/*
 * append.c
 *	  Adding rows to a table of the extension without a statement.
 *
 * An INSERT would cost several times what the row costs.  Most indexes of such
 * tables are partial ones, "column IS NOT NULL", and do not take in every row:
 * those are not even opened.  Where somebody has added an index of another
 * kind, it is left to the executor.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* An index of columns, of the rows where a column is not null. */
typedef struct KnownIndex
{
	Oid			oid;
	AttrNumber	unless_null;	/* 0: of all rows */
	IndexInfo  *info;
} KnownIndex;

typedef struct KnownTable
{
	Oid			oid;			/* hash key */
	bool		is_known;
	bool		is_simple;		/* all indexes are such */
	int			count;
	KnownIndex *indexes;
	MemoryContext memory;
} KnownTable;

static HTAB *tables = NULL;
static uint64 changes = 0;

static void
forget(Datum argument, Oid relation)
{
	HASH_SEQ_STATUS all;
	KnownTable *known;

	changes++;
	if (OidIsValid(relation))
	{
		known = hash_search(tables, &relation, HASH_FIND, NULL);
		if (known != NULL)
			known->is_known = false;
		return;
	}
	hash_seq_init(&all, tables);
	while ((known = hash_seq_search(&all)) != NULL)
		known->is_known = false;
}

/*
 * The column of a condition "column IS NOT NULL"; 0 for none at all, -1 for
 * another one.
 */
static int
unless_null(List *condition)
{
	NullTest   *test = list_length(condition) == 1 ? linitial(condition) : NULL;

	if (condition == NIL)
		return 0;
	if (test == NULL || !IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL ||
		!IsA(test->arg, Var) || ((Var *) test->arg)->varattno <= 0)
		return -1;

	return ((Var *) test->arg)->varattno;
}

/*
 * Learns what there is to know of an index; false when it is not a simple one.
 */
static bool
learn_index(Oid oid, KnownIndex *known)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	int			column;

	known->oid = oid;
	known->info = BuildIndexInfo(index);
	column = unless_null(known->info->ii_Predicate);
	known->unless_null = Max(column, 0);
	index_close(index, NoLock);

	return column >= 0 && index->rd_rel->relam == BTREE_AM_OID &&
		known->info->ii_Expressions == NIL && known->info->ii_ExclusionOps == NULL &&
		known->info->ii_ReadyForInserts &&
		(!index->rd_index->indisunique || index->rd_index->indimmediate);
}

static void
learn(KnownTable *known, Relation table)
{
	List	   *oids = RelationGetIndexList(table);
	uint64		before = changes;
	MemoryContext previous;
	ListCell   *cell;

	MemoryContextReset(known->memory);
	previous = MemoryContextSwitchTo(known->memory);
	known->is_simple = true;
	known->count = 0;
	known->indexes = palloc(sizeof(KnownIndex) * Max(list_length(oids), 1));
	foreach(cell, oids)
	{
		if (!learn_index(lfirst_oid(cell), &known->indexes[known->count++]))
			known->is_simple = false;
	}
	MemoryContextSwitchTo(previous);
	list_free(oids);
	known->is_known = before == changes;
}

static KnownTable *
known_table(Relation table)
{
	static KnownTable *last = NULL;
	Oid			oid = RelationGetRelid(table);
	bool		found;

	if (tables == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(KnownTable);
		tables = hash_create("wf tables appended to", 16, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	if (last == NULL || last->oid != oid)
	{
		last = hash_search(tables, &oid, HASH_ENTER, &found);
		if (!found)
		{
			last->is_known = false;
			last->memory = NULL;
		}
	}
	if (last->memory == NULL)
		last->memory = AllocSetContextCreate(TopMemoryContext, "wf indexes of a table",
											 ALLOCSET_SMALL_SIZES);
	if (!last->is_known)
		learn(last, table);

	return last;
}

static void
insert_into(Relation table, const KnownIndex *known, TupleTableSlot **rows, int n)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	Relation	index = NULL;

	for (int i = 0; i < n; i++)
	{
		if (known->unless_null != 0 && slot_attisnull(rows[i], known->unless_null))
			continue;
		if (index == NULL)
			index = index_open(known->oid, RowExclusiveLock);
		FormIndexDatum(known->info, rows[i], NULL, values, nulls);
		index_insert(index, values, nulls, &rows[i]->tts_tid, table,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, known->info);
	}
	if (index != NULL)
		index_close(index, NoLock);
}

/*
 * As an INSERT would do it, functions of the indexes included.
 */
static void
insert_by_executor(Relation table, TupleTableSlot **rows, int n)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	WfCaller	caller;

	wf_enter_owner(&caller);
	InitResultRelInfo(result, table, 1, NULL, 0);
	ExecOpenIndices(result, false);
	for (int i = 0; i < n; i++)
		wf_insert_index_tuples(result, rows[i], estate);
	ExecCloseIndices(result);
	FreeExecutorState(estate);
	wf_leave_owner(&caller);
}

void
wf_append(Relation table, TupleTableSlot **rows, int n)
{
	const KnownTable *known = known_table(table);

	if (n == 1)
		table_tuple_insert(table, rows[0], GetCurrentCommandId(true), 0, NULL);
	else
		table_multi_insert(table, rows, n, GetCurrentCommandId(true), 0, NULL);
	if (!known->is_simple)
	{
		insert_by_executor(table, rows, n);
		return;
	}
	for (int i = 0; i < known->count; i++)
		insert_into(table, &known->indexes[i], rows, n);
}

bool
wf_append_suffices(Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;

	return triggers == NULL ||
		!(triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
		  triggers->trig_insert_before_statement || triggers->trig_insert_after_statement);
}
