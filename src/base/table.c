/*
 * table.c
 *	  The extension's own tables and sequences, by name.
 *
 * Looking up a name in its schema costs as much as inserting a row.  What was
 * found holds until something changes among the names of the database.
 */
#include "postgres.h"

#include "base/table.h"
#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static uint64 generation = 0;	/* 0: nobody listens yet */

static void
on_change(Datum argument, int cache_id, uint32 hash_value)
{
	generation++;
}

Oid
wf_table_oid_if_any(WfTable *table)
{
	uint64		before;
	Oid			schema;

	if (generation == 0)
	{
		CacheRegisterSyscacheCallback(RELNAMENSP, on_change, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACENAME, on_change, (Datum) 0);
		generation = 1;
	}
	if (table->generation == generation)
		return table->oid;
	before = generation;
	schema = get_namespace_oid("workflow", true);
	table->oid = OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
	table->generation = before;

	return table->oid;
}

Oid
wf_table_oid(WfTable *table)
{
	Oid			oid = wf_table_oid_if_any(table);

	if (!OidIsValid(oid))
		elog(ERROR, "table workflow.%s is missing", table->name);

	return oid;
}
