/*
 * deferred.c
 *	  What the transaction has put off to its commit: whether there is any, and
 *	  firing it before that.
 *
 * SET CONSTRAINTS also changes how constraints are checked from then on, and
 * the server does not tell how they were checked before.  So it is used only
 * when something is pending, and afterwards every constraint is deferred, or
 * not, as it is declared.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/deferred.h"
#include "base/owner.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* Tables with triggers that can be deferred, as of so many changes. */
static List *tables = NIL;
static uint64 tables_as_of = 0;
static uint64 nchanges = 1;

static void
on_constraint_change(Datum argument, int cache_id, uint32 hash_value)
{
	nchanges++;
}

/*
 * Calls a function for each row of a catalog as it is now: the snapshot of a
 * REPEATABLE READ transaction may be older than what it can write to.
 */
static void
for_each_row(Oid catalog, void (*function) (HeapTuple row, List **found), List **found)
{
	Relation	relation = table_open(catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
		function(row, found);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

static void
add_table(HeapTuple row, List **found)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(row);

	if (trigger->tgdeferrable)
		*found = lappend_oid(*found, trigger->tgrelid);
}

/*
 * The list is what it was until it has been read completely.
 */
static void
read_tables(void)
{
	static bool is_listening = false;
	uint64		as_of = nchanges;
	List	   *found = NIL;
	MemoryContext caller;

	if (!is_listening)
		CacheRegisterSyscacheCallback(CONSTROID, on_constraint_change, (Datum) 0);
	is_listening = true;

	for_each_row(TriggerRelationId, add_table, &found);
	list_sort(found, list_oid_cmp);
	list_deduplicate_oid(found);

	caller = MemoryContextSwitchTo(TopMemoryContext);
	found = list_copy(found);
	MemoryContextSwitchTo(caller);
	list_free(tables);
	tables = found;
	tables_as_of = as_of;
}

/*
 * Whether the transaction has deferred triggers to fire.
 */
bool
wf_deferred_is_pending(void)
{
	ListCell   *cell;

	if (tables_as_of != nchanges)
		read_tables();
	foreach(cell, tables)
		if (AfterTriggerPendingOnRel(lfirst_oid(cell)))
		return true;

	return false;
}

/*
 * SET CONSTRAINTS, of all when none is named.
 */
static void
set_constraints(List *constraints, bool deferred)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = constraints;
	statement->deferred = deferred;
	AfterTriggerSetState(statement);
}

typedef struct Deferrable
{
	Oid			schema;
	NameData	name;
	bool		is_deferred;	/* initially */
} Deferrable;

static void
add_deferrable(HeapTuple row, List **found)
{
	Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(row);
	Deferrable *deferrable;

	if (!constraint->condeferrable || isOtherTempNamespace(constraint->connamespace))
		return;
	deferrable = palloc(sizeof(Deferrable));
	deferrable->schema = constraint->connamespace;
	deferrable->name = constraint->conname;
	deferrable->is_deferred = constraint->condeferred;
	*found = lappend(*found, deferrable);
}

/*
 * By name, of one name those first that are initially deferred.
 */
static int
compare_deferrables(const ListCell *left, const ListCell *right)
{
	const Deferrable *one = lfirst(left);
	const Deferrable *other = lfirst(right);
	int			order = strcmp(NameStr(one->name), NameStr(other->name));

	if (order == 0 && one->schema != other->schema)
		order = one->schema < other->schema ? -1 : 1;

	return order != 0 ? order : other->is_deferred - one->is_deferred;
}

/*
 * The constraints that are declared to be checked at once.  A name stands for
 * all constraints of its schema that have it, on whatever table: where one of
 * them is initially deferred, none is in the list.
 */
static List *
immediate_constraints(void)
{
	List	   *deferrables = NIL;
	List	   *immediate = NIL;
	const Deferrable *first = NULL;
	ListCell   *cell;

	for_each_row(ConstraintRelationId, add_deferrable, &deferrables);
	list_sort(deferrables, compare_deferrables);
	foreach(cell, deferrables)
	{
		Deferrable *present = lfirst(cell);
		bool		is_first = first == NULL || first->schema != present->schema ||
		strcmp(NameStr(first->name), NameStr(present->name)) != 0;

		if (!is_first)
			continue;
		first = present;
		if (!first->is_deferred)
			immediate = lappend(immediate, makeRangeVar(get_namespace_name(first->schema),
														NameStr(present->name), -1));
	}

	return immediate;
}

/*
 * Fires all that the transaction has put off, as the present role.  What is
 * checked from then on is checked at once.
 */
void
wf_deferred_fire_all(void)
{
	set_constraints(NIL, false);
}

/*
 * Lets every constraint be checked when its declaration says.  Nothing is
 * pending, so nothing fires.
 */
void
wf_deferred_set_as_declared(void)
{
	WfCaller	caller;
	List	   *immediate;

	wf_enter_owner(&caller);
	immediate = immediate_constraints();
	set_constraints(NIL, true);
	if (immediate != NIL)
		set_constraints(immediate, false);
	wf_leave_owner(&caller);
}

/*
 * See deferred.h.
 */
void
wf_deferred_fire_steps(void)
{
	if (!wf_deferred_is_pending())
		return;
	wf_deferred_fire_all();
	wf_deferred_set_as_declared();
}
