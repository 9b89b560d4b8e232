/*
 * bind.c
 *	  Which role a name in a row means.
 *
 * A row names roles for people and for a restore, and beside each name keeps
 * the oid that the name meant when the row was written.  Renamed, a role is
 * still meant; dropped, nobody is, whoever has the name by now.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(wf_bind_role);

/*
 * _bind_role(name column, oid column): before a row is stored.  The oid is
 * null where the name is nobody's.
 */
Datum
wf_bind_role(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleDesc	description = RelationGetDescr(trigger->tg_relation);
	int			name_column = SPI_fnumber(description, trigger->tg_trigger->tgargs[0]);
	int			oid_column = SPI_fnumber(description, trigger->tg_trigger->tgargs[1]);
	bool		isnull;
	Datum		name = heap_getattr(tuple, name_column, description, &isnull);
	Oid			role = isnull ? InvalidOid : get_role_oid(TextDatumGetCString(name), true);
	Datum		value = ObjectIdGetDatum(role);
	bool		is_gone = !OidIsValid(role);

	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, description, 1, &oid_column,
													 &value, &is_gone));
}
