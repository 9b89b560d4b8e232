/*
 * session.c
 *	  What the function of a sql activity leaves behind in the session: nothing.
 *
 * Other activities, with other definers, run in the same session and often in
 * the same transaction.  A temporary table would stand before theirs of the
 * same name; a cursor or a large object left open could be read by them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "base/plan.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "executor/spi.h"
#include "item/item_internal.h"
#include "libpq/be-fsstubs.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

/*
 * Counts what is in the session's temporary schema: each object there depends
 * on it.
 */
static uint64
count_temporary(void)
{
	Oid			schema;
	Oid			toast;
	uint64		n = 0;
	ScanKeyData keys[2];
	Relation	depend;
	SysScanDesc scan;

	GetTempNamespaceState(&schema, &toast);
	if (!OidIsValid(schema))
		return 0;
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	depend = table_open(DependRelationId, AccessShareLock);
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(systable_getnext(scan)))
		n++;
	systable_endscan(scan);
	table_close(depend, AccessShareLock);

	return n;
}

static void
refuse_temporary(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("this session has temporary objects"),
			 errdetail("%s", detail),
			 errhint("DISCARD TEMP; or call workflow.run() in another session.")));
}

/*
 * Raises when the session's temporary objects, which stand before others of
 * the same name, are of somebody who could not run code as the definer.
 */
static void
require_no_foreign_objects(Oid definer)
{
	Oid			session = GetOuterUserId();

	if (!is_member_of_role(session, definer) && count_temporary() > 0)
		refuse_temporary(psprintf("They are of \"%s\", who is no member of \"%s\"; an activity could take them for tables of its definer's.",
								  GetUserNameFromId(session, false),
								  GetUserNameFromId(definer, false)));
}

/*
 * The same before activities of anybody run.
 */
void
wf_item_require_clean_session(void)
{
	Oid			session = GetOuterUserId();

	if (!superuser_arg(session) && count_temporary() > 0)
		refuse_temporary("The activities of others could take them for tables of their own.");
}

/*
 * See item.h.
 */
void
wf_item_require_no_borrowed_objects(void)
{
	if (InLocalUserIdChange() && count_temporary() > 0)
		refuse_temporary("Inside a function that runs with the rights of its owner, nobody can tell whose they are.");
}

/*
 * Before an activity of that definer.
 */
uint64
wf_item_session_note(Oid definer)
{
	require_no_foreign_objects(definer);

	return count_temporary();
}

static void
close_cursors(SubTransactionId opened_in)
{
	static WfPlan plan = {
		.name = "open cursors",
		.expected = SPI_OK_SELECT,
		.sql = "SELECT c.name FROM pg_catalog.pg_cursors AS c",
	};
	uint64		found = wf_plan_execute(&plan, NULL, NULL);
	SPITupleTable *names = SPI_tuptable;

	for (uint64 row = 0; row < found; row++)
	{
		Portal		cursor = SPI_cursor_find(SPI_getvalue(names->vals[row], names->tupdesc, 1));

		if (cursor != NULL && cursor->createSubid == opened_in && cursor->status == PORTAL_READY)
			SPI_cursor_close(cursor);
	}
}

/*
 * Closes what the activity left open, which ran in this subtransaction, and
 * raises when it left objects.
 */
void
wf_item_session_clean(uint64 ntemporary_before)
{
	SubTransactionId self = GetCurrentSubTransactionId();

	if (count_temporary() > ntemporary_before)
		wf_item_refuse_to_outlive();
	AtEOSubXact_LargeObject(false, self, self);
	close_cursors(self);
}

/*
 * Gives back the advisory locks of a worker's session; somebody else's session
 * may have locks of its own.
 */
void
wf_item_session_unlock(void)
{
	if (MyBackendType == B_BG_WORKER)
		LockReleaseSession(USER_LOCKMETHOD);
}
