/*
 * deferred.c
 *	  Deferred triggers: fired as whoever put them off, and by nobody else.
 *
 * The server fires what is deferred as the role that commits.  A worker
 * commits as a superuser, so an activity's deferred triggers fire before it
 * ends, as its definer.  That takes SET CONSTRAINTS ALL, which fires what the
 * whole transaction has put off: inside a caller's transaction, run() fires
 * the caller's own first, as the caller.
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
#include "base/owner.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "item/item_internal.h"
#include "miscadmin.h"
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
static bool
is_pending(void)
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
 * Lets every constraint be checked when its declaration says.  Nothing is
 * pending, so nothing fires.
 */
static void
set_as_declared(void)
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

static void
refuse_pending(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("deferred triggers of this transaction are pending"),
			 errdetail("%s", detail),
			 errhint("SET CONSTRAINTS ALL IMMEDIATE fires them; do that before workflow.run().")));
}

/*
 * Fires what the transaction of run()'s caller has put off, as the caller.
 * Where the caller's rights are borrowed from the owner of a function, what is
 * pending may be somebody else's, and is not fired with them.
 */
void
wf_item_fire_callers_deferred(void)
{
	if (!is_pending())
		return;
	if (InLocalUserIdChange())
		refuse_pending("Inside a function that runs with the rights of its owner, nobody can tell whose they are.");
	set_constraints(NIL, false);
	if (is_pending())
		refuse_pending("One of them puts off others again, or is what calls workflow.run().");
	set_as_declared();
}

/*
 * Fires what an activity has put off, as its definer and as a
 * security-restricted operation, in which no trigger can be put off any
 * further: none is left for the commit.
 */
void
wf_item_fire_activitys_deferred(Oid definer)
{
	WfCaller	caller;
	bool		pending = is_pending();

	if (pending)
	{
		wf_enter_restricted_role(definer, &caller);
		set_constraints(NIL, false);
		wf_leave_role(&caller);
	}
	if (wf_item_constraints_were_set() || pending)
		set_as_declared();
}

/*
 * See item.h.
 */
void
wf_item_fire_steps_deferred(void)
{
	if (!is_pending())
		return;
	set_constraints(NIL, false);
	set_as_declared();
}
