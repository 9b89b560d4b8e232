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

static HeapTuple
bind(const TriggerData *trigger, const char *name_column, const char *oid_column)
{
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleDesc	description = RelationGetDescr(trigger->tg_relation);
	int			target = SPI_fnumber(description, oid_column);
	bool		isnull;
	Datum		name = heap_getattr(tuple, SPI_fnumber(description, name_column), description, &isnull);
	Oid			role = isnull ? InvalidOid : get_role_oid(TextDatumGetCString(name), true);
	Datum		value = ObjectIdGetDatum(role);
	bool		is_gone = !OidIsValid(role);

	return heap_modify_tuple_by_cols(tuple, description, 1, &target, &value, &is_gone);
}

PG_FUNCTION_INFO_V1(wf_bind_role);

/*
 * _bind_role(name column, oid column): before a row is stored.  The oid is
 * null where the name is nobody's.
 */
Datum
wf_bind_role(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger, and takes two columns")));

	return PointerGetDatum(bind(trigger, trigger->tg_trigger->tgargs[0],
								trigger->tg_trigger->tgargs[1]));
}
