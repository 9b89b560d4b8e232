/*
 * append.c
 *	  Rows at the end of one of our tables, without a statement.
 *
 * An INSERT would cost more than all else that a hot path does.  The rows go
 * through the table and its indexes as the executor would take them.  What it
 * would do besides (triggers, conditions, columns that users have added) is
 * left out; who cares asks wf_append_is_plain() first.
 *
 * What there is to know of the indexes is kept until the table changes, so that
 * partial ones which do not take in a row are not even opened.  Where somebody
 * has added an index of another kind, all of them are left to the executor.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static WfAppend *known = NULL;	/* all that was ever learnt */
static uint64 changes = 0;

static void
forget(Datum argument, Oid relation)
{
	for (WfAppend *each = known; each != NULL; each = each->next)
		if (!OidIsValid(relation) || each->table.oid == relation)
			each->is_known = false;
	changes++;
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
learn_index(Oid oid, WfAppendIndex *learnt)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	int			column;
	bool		is_simple;

	learnt->oid = oid;
	learnt->info = BuildIndexInfo(index);
	column = unless_null(learnt->info->ii_Predicate);
	learnt->unless_null = Max(column, 0);
	is_simple = column >= 0 && index->rd_rel->relam == BTREE_AM_OID &&
		learnt->info->ii_Expressions == NIL && learnt->info->ii_ExclusionOps == NULL &&
		learnt->info->ii_ReadyForInserts &&
		(!index->rd_index->indisunique || index->rd_index->indimmediate);
	index_close(index, NoLock);

	return is_simple;
}

static bool
fires_on_insert(const TriggerDesc *triggers)
{
	return triggers != NULL &&
		(triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
		 triggers->trig_insert_instead_row || triggers->trig_insert_before_statement ||
		 triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

static bool
is_plain(Relation relation)
{
	const TupleConstr *constraints = RelationGetDescr(relation)->constr;

	return !fires_on_insert(relation->trigdesc) &&
		(constraints == NULL ||
		 (constraints->num_check == 0 && !constraints->has_generated_stored));
}

static void
remember(WfAppend *to)
{
	if (known == NULL)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	to->memory = AllocSetContextCreate(TopMemoryContext, "wf appended table", ALLOCSET_SMALL_SIZES);
	to->next = known;
	known = to;
}

static void
learn(WfAppend *to, Relation relation)
{
	List	   *oids = RelationGetIndexList(relation);
	uint64		before;
	MemoryContext previous;
	ListCell   *cell;

	if (to->memory == NULL)
		remember(to);
	before = changes;
	MemoryContextReset(to->memory);
	previous = MemoryContextSwitchTo(to->memory);
	to->has_simple_indexes = true;
	to->n_indexes = 0;
	to->indexes = palloc(sizeof(WfAppendIndex) * Max(list_length(oids), 1));
	foreach(cell, oids)
		if (!learn_index(lfirst_oid(cell), &to->indexes[to->n_indexes++]))
		to->has_simple_indexes = false;
	MemoryContextSwitchTo(previous);
	list_free(oids);
	to->is_plain = is_plain(relation);
	to->is_known = before == changes;
}

Relation
wf_append_open(WfAppend *to)
{
	return table_open(wf_table_oid(&to->table), RowExclusiveLock);
}

/*
 * See append.h.
 */
bool
wf_append_is_plain(WfAppend *to, Relation relation, int ncolumns)
{
	if (!to->is_known)
		learn(to, relation);

	return to->is_plain && RelationGetDescr(relation)->natts == ncolumns;
}

static void
insert_into(Relation relation, const WfAppendIndex *learnt, TupleTableSlot **rows, int count)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	Relation	index = index_open(learnt->oid, RowExclusiveLock);

	for (int i = 0; i < count; i++)
	{
		if (learnt->unless_null != 0 && slot_attisnull(rows[i], learnt->unless_null))
			continue;
		FormIndexDatum(learnt->info, rows[i], NULL, values, nulls);
		index_insert(index, values, nulls, &rows[i]->tts_tid, relation,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, learnt->info);
	}
	index_close(index, NoLock);
}

/*
 * As an INSERT would do it, functions of the indexes included.
 */
static void
insert_by_executor(Relation relation, TupleTableSlot **rows, int count)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	WfCaller	caller;

	wf_enter_owner(&caller);
	InitResultRelInfo(result, relation, 1, NULL, 0);
	ExecOpenIndices(result, false);
	for (int i = 0; i < count; i++)
	{
		wf_insert_index_tuples(result, rows[i], estate);
		ResetPerTupleExprContext(estate);
	}
	ExecCloseIndices(result);
	FreeExecutorState(estate);
	wf_leave_owner(&caller);
}

static bool
takes_in_any(const WfAppendIndex *learnt, TupleTableSlot **rows, int count)
{
	if (learnt->unless_null == 0)
		return true;
	for (int i = 0; i < count; i++)
		if (!slot_attisnull(rows[i], learnt->unless_null))
			return true;

	return false;
}

static void
insert_into_indexes(WfAppend *to, Relation relation, TupleTableSlot **rows, int count)
{
	if (!to->is_known)
		learn(to, relation);
	if (!to->has_simple_indexes)
	{
		insert_by_executor(relation, rows, count);
		return;
	}
	for (int i = 0; i < to->n_indexes; i++)
		if (takes_in_any(&to->indexes[i], rows, count))
			insert_into(relation, &to->indexes[i], rows, count);
}

/*
 * Appends rows, which a statement that comes later sees.
 */
void
wf_append_rows(WfAppend *to, Relation relation, TupleTableSlot **rows, int count)
{
	CommandId	command = GetCurrentCommandId(true);

	if (count == 1)
		table_tuple_insert(relation, rows[0], command, 0, NULL);
	else
		table_multi_insert(relation, rows, count, command, 0, NULL);
	insert_into_indexes(to, relation, rows, count);
}
