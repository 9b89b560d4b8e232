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

#include "base/owner.h"
#include "base/plan.h"
#include "commands/trigger.h"
#include "item/item_internal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/inval.h"
#include "utils/syscache.h"

/* Tables with triggers that can be deferred. */
static Oid *tables = NULL;
static uint64 ntables = 0;
static bool tables_are_known = false;

static WfPlan tables_plan = {
	.name = "tables with deferrable triggers",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger AS t WHERE t.tgdeferrable",
};

static WfPlan immediate_plan = {
	.name = "deferrable constraints that are immediate",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT n.nspname::pg_catalog.text, c.conname::pg_catalog.text "
	"FROM pg_catalog.pg_constraint AS c "
	"JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.connamespace "
	"WHERE c.condeferrable AND NOT c.condeferred",
};

static void
on_constraint_change(Datum argument, int cache_id, uint32 hash_value)
{
	tables_are_known = false;
}

static void
read_tables(void)
{
	static bool is_listening = false;

	if (!is_listening)
		CacheRegisterSyscacheCallback(CONSTROID, on_constraint_change, (Datum) 0);
	is_listening = true;

	tables_are_known = true;	/* unless something changes meanwhile */
	ntables = 0;
	if (tables != NULL)
		pfree(tables);
	tables = NULL;
	ntables = wf_plan_execute(&tables_plan, NULL, NULL);
	tables = MemoryContextAlloc(TopMemoryContext, sizeof(Oid) * Max(1, ntables));
	for (uint64 row = 0; row < ntables; row++)
		tables[row] = DatumGetObjectId(wf_result_datum(row, 1, NULL));
}

/*
 * Whether the transaction has deferred triggers to fire.
 */
static bool
is_pending(void)
{
	WfCaller	caller;

	if (!tables_are_known)
	{
		wf_enter_owner(&caller);
		read_tables();
		wf_leave_owner(&caller);
	}
	for (uint64 i = 0; i < ntables; i++)
		if (AfterTriggerPendingOnRel(tables[i]))
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

/*
 * Lets every constraint be checked when its declaration says.  Nothing is
 * pending, so nothing fires.
 */
static void
set_as_declared(void)
{
	WfCaller	caller;
	List	   *immediate = NIL;
	uint64		found;

	wf_enter_owner(&caller);
	found = wf_plan_execute(&immediate_plan, NULL, NULL);
	for (uint64 row = 0; row < found; row++)
		immediate = lappend(immediate,
							makeRangeVar(wf_result_text(row, 1), wf_result_text(row, 2), -1));
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
