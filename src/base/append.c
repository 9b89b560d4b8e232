/*
 * append.c
 *	  Adding rows to a table of the extension without a statement.
 *
 * An INSERT would cost several times what the row costs.  Most indexes of such
 * tables are partial ones and do not take in every row: those are not even
 * opened.  Their conditions are made ready once.  Where somebody has added an
 * index of another kind, all is left to the executor.
 *
 * A single row goes into the heap as it stands in its slot, which keeps its
 * values: through the slot it would be put together there, and taken apart again
 * for each index.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* An index of columns. */
typedef struct KnownIndex
{
	Oid			oid;
	AttrNumber	unless_null;	/* of the rows where it is not null; 0: of all */
	ExprState  *condition;		/* another one, or NULL */
	IndexInfo  *info;
} KnownIndex;

typedef struct KnownTable
{
	Oid			oid;			/* hash key */
	bool		is_known;
	bool		is_simple;		/* all indexes are such as we know how to fill */
	bool		is_heap;
	int			count;
	KnownIndex *indexes;
	int			n_required;
	AttrNumber *required;		/* columns that are not null */
	MemoryContext memory;
	uint64		judged_as_of;	/* of the changes */
	bool		suffices;		/* an INSERT would do no more, as of then */
} KnownTable;

/* As many are found without the hash table: what a move or a job writes to. */
#define RECENT 16

static HTAB *tables = NULL;
static uint64 changes = 1;

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

static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * Whether an expression calls functions that somebody may replace.
 */
static bool
calls_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, context))
		return true;

	return expression_tree_walker(node, calls_foreign, context);
}

/*
 * Learns what there is to know of an index; false when it is not a simple one.
 */
static bool
learn_index(Oid oid, KnownIndex *known)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	int			column;
	bool		is_simple;

	known->oid = oid;
	known->info = BuildIndexInfo(index);
	column = unless_null(known->info->ii_Predicate);
	known->unless_null = Max(column, 0);
	known->condition = NULL;
	is_simple = index->rd_rel->relam == BTREE_AM_OID &&
		known->info->ii_Expressions == NIL && known->info->ii_ExclusionOps == NULL &&
		known->info->ii_ReadyForInserts &&
		(!index->rd_index->indisunique || index->rd_index->indimmediate) &&
		!calls_foreign((Node *) known->info->ii_Predicate, NULL);
	if (is_simple && column < 0)
		known->condition = ExecInitQual((List *) expression_planner((Expr *) known->info->ii_Predicate), NULL);
	index_close(index, NoLock);

	return is_simple;
}

/*
 * Our own columns of that kind are filled; somebody may have made more of them.
 */
static void
learn_required(KnownTable *known, TupleDesc columns)
{
	known->n_required = 0;
	known->required = palloc(sizeof(AttrNumber) * Max(columns->natts, 1));
	for (int i = 0; i < columns->natts; i++)
		if (TupleDescAttr(columns, i)->attnotnull)
			known->required[known->n_required++] = i + 1;
}

static void
learn(KnownTable *known, Relation table)
{
	List	   *oids = RelationGetIndexList(table);
	uint64		before = changes;
	MemoryContext previous;
	ListCell   *cell;

	if (known->memory == NULL)
		known->memory = AllocSetContextCreate(TopMemoryContext, "wf indexes of a table",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(known->memory);
	previous = MemoryContextSwitchTo(known->memory);
	known->is_simple = true;
	known->is_heap = table->rd_rel->relam == HEAP_TABLE_AM_OID;
	learn_required(known, RelationGetDescr(table));
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

static void
listen(void)
{
	HASHCTL		control = {0};

	if (tables != NULL)
		return;
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(KnownTable);
	tables = hash_create("wf tables appended to", 16, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

/*
 * What there is of a table, which may be nothing yet.
 */
static KnownTable *
entry_of(Oid oid)
{
	static KnownTable *recent[RECENT] = {0};
	KnownTable **place = &recent[oid % RECENT];
	bool		found;

	if (*place != NULL && (*place)->oid == oid)
		return *place;
	listen();
	*place = hash_search(tables, &oid, HASH_ENTER, &found);
	if (!found)
		memset((char *) *place + sizeof(Oid), 0, sizeof(KnownTable) - sizeof(Oid));

	return *place;
}

static KnownTable *
known_table(Relation table)
{
	KnownTable *known = entry_of(RelationGetRelid(table));

	if (!known->is_known)
		learn(known, table);

	return known;
}

/*
 * Whether a row is one of those that an index is of.
 */
static bool
takes_in(const KnownIndex *known, TupleTableSlot *row)
{
	static ExprContext *context = NULL;
	MemoryContext caller;
	bool		result;

	if (known->unless_null != 0)
		return !slot_attisnull(row, known->unless_null);
	if (known->condition == NULL)
		return true;
	if (context == NULL)
	{
		caller = MemoryContextSwitchTo(TopMemoryContext);
		context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(caller);
	}
	context->ecxt_scantuple = row;
	result = ExecQual(known->condition, context);
	ResetExprContext(context);

	return result;
}

static void
insert_into(Relation table, const KnownIndex *known, TupleTableSlot **rows, int n)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	Relation	index = NULL;

	for (int i = 0; i < n; i++)
	{
		if (!takes_in(known, rows[i]))
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

bool
wf_append_is_simple(Relation table)
{
	return known_table(table)->is_simple;
}

void
wf_append_to_indexes(Relation table, TupleTableSlot **rows, int n)
{
	const KnownTable *known = known_table(table);

	if (!known->is_simple)
	{
		insert_by_executor(table, rows, n);
		return;
	}
	for (int i = 0; i < known->count; i++)
		insert_into(table, &known->indexes[i], rows, n);
}

static void
refuse_empty(Relation table, AttrNumber column)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(table), column - 1)->attname);

	ereport(ERROR,
			(errcode(ERRCODE_NOT_NULL_VIOLATION),
			 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null constraint",
					name, RelationGetRelationName(table)),
			 errdetail("The extension leaves the column empty."),
			 errhint("ALTER TABLE workflow.%s ALTER COLUMN %s DROP NOT NULL;",
					 quote_identifier(RelationGetRelationName(table)), quote_identifier(name)),
			 errtablecol(table, column)));
}

static void
require_filled(const KnownTable *known, Relation table, TupleTableSlot *row)
{
	for (int i = 0; i < known->n_required; i++)
		if (slot_attisnull(row, known->required[i]))
			refuse_empty(table, known->required[i]);
}

/*
 * What the heap's own function does for a slot, but that the slot stays as it is.
 */
static void
insert_into_heap(Relation table, HeapTuple tuple, TupleTableSlot *row)
{
	tuple->t_tableOid = row->tts_tableOid = RelationGetRelid(table);
	heap_insert(table, tuple, GetCurrentCommandId(true), 0, NULL);
	row->tts_tid = tuple->t_self;
	heap_freetuple(tuple);
}

/*
 * The row as it goes into the heap; NULL where it goes there through its slot.
 */
static HeapTuple
formed(const KnownTable *known, Relation table, TupleTableSlot *row)
{
	if (!known->is_heap || row->tts_tupleDescriptor->natts != RelationGetDescr(table)->natts)
		return NULL;
	slot_getallattrs(row);

	return heap_form_tuple(RelationGetDescr(table), row->tts_values, row->tts_isnull);
}

static void
insert(Relation table, HeapTuple tuple, TupleTableSlot **rows, int n)
{
	if (tuple != NULL)
		insert_into_heap(table, tuple, rows[0]);
	else if (n == 1)
		table_tuple_insert(table, rows[0], GetCurrentCommandId(true), 0, NULL);
	else
		table_multi_insert(table, rows, n, GetCurrentCommandId(true), 0, NULL);
}

/*
 * To learn of somebody's indexes may take a snapshot, too.
 */
static const KnownTable *
known_with_snapshot(Relation table)
{
	const KnownTable *known;

	if (ActiveSnapshotSet() || entry_of(RelationGetRelid(table))->is_known)
		return known_table(table);
	PushActiveSnapshot(GetTransactionSnapshot());
	known = known_table(table);
	PopActiveSnapshot();

	return known;
}

/*
 * Before a commit there is no snapshot any more; rows that may be stored out of
 * line, and functions of somebody's indexes, need one.  To take one for each commit
 * would have them all meet at one lock.
 */
void
wf_append(Relation table, TupleTableSlot **rows, int n)
{
	const KnownTable *known = known_with_snapshot(table);
	HeapTuple	tuple;
	bool		needs_snapshot;

	for (int i = 0; i < n; i++)
		require_filled(known, table, rows[i]);
	tuple = n == 1 ? formed(known, table, rows[0]) : NULL;
	needs_snapshot = !ActiveSnapshotSet() &&
		(known->count > 0 || tuple == NULL || tuple->t_len > TOAST_TUPLE_THRESHOLD ||
		 wf_server_asserts_snapshot(table));
	if (needs_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	insert(table, tuple, rows, n);
	wf_append_to_indexes(table, rows, n);
	if (needs_snapshot)
		PopActiveSnapshot();
}

/*
 * See append.h.
 */
bool
wf_append_suffices_with(Relation table, const char *own_trigger, int own_conditions)
{
	const TriggerDesc *triggers = table->trigdesc;
	const TupleConstr *constraints = RelationGetDescr(table)->constr;

	if (table->rd_rules != NULL)
		return false;
	if (constraints != NULL &&
		(constraints->num_check != own_conditions || wf_has_computed_columns(constraints)))
		return false;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) &&
			(own_trigger == NULL || strcmp(trigger->tgname, own_trigger) != 0))
			return false;
	}

	return true;
}

/*
 * See append.h.
 */
bool
wf_append_suffices(Relation table)
{
	return wf_append_suffices_with(table, NULL, 0);
}

/*
 * See append.h.
 */
bool
wf_append_suffices_for(Oid oid)
{
	KnownTable *known = entry_of(oid);
	uint64		before = changes;
	Relation	table;

	if (known->judged_as_of != before)
	{
		table = table_open(oid, AccessShareLock);
		known->suffices = wf_append_suffices(table);
		known->judged_as_of = before;
		table_close(table, NoLock);
	}

	return known->suffices;
}

/*
 * See append.h.
 */
uint64
wf_table_changes(void)
{
	listen();

	return changes;
}
