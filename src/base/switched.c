/*
 * switched.c
 *	  Who relies on triggers is told when somebody disables or enables them.
 *
 * pg_restore --disable-triggers disables even those that always fire, stores its
 * rows, and enables them again.  Only sessions that have the library see that:
 * all of them where it is preloaded.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/switched.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#define MAX_TOLD 8

static WfSwitched told[MAX_TOLD];
static int	n_told = 0;
static object_access_hook_type previous_hook = NULL;

void
wf_when_switched(WfSwitched tell)
{
	Assert(n_told < MAX_TOLD);
	told[n_told++] = tell;
}

static Oid
table_of(Oid trigger)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	Oid			table = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		table = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);

	return table;
}

static void
tell_of(Oid trigger)
{
	Oid			schema = get_namespace_oid("workflow", true);
	Oid			table = OidIsValid(schema) ? table_of(trigger) : InvalidOid;
	char	   *name;

	if (!OidIsValid(table) || get_rel_namespace(table) != schema)
		return;
	name = get_rel_name(table);
	for (int i = 0; i < n_told && name != NULL; i++)
		told[i] (name);
}

static void
on_access(ObjectAccessType access, Oid class, Oid object, int column, void *argument)
{
	if (previous_hook != NULL)
		previous_hook(access, class, object, column, argument);
	if (access == OAT_POST_ALTER && class == TriggerRelationId && !creating_extension)
		tell_of(object);
}

void
wf_switched_init(void)
{
	previous_hook = object_access_hook;
	object_access_hook = on_access;
}
