/*
 * submitter.c
 *	  Whose effect it is.
 *
 * A row says so by name, for people and for a restore, and by the oid that the
 * name meant when the row was written.  Rights are those of that role: renamed,
 * it keeps its effects; dropped, they are nobody's, whoever has the name by now.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/trigger.h"
#include "effect/ledger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(wf_bind_submitter);

/*
 * _bind_submitter(): before a row of workflow.effect is stored.
 */
Datum
wf_bind_submitter(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleDesc	description = RelationGetDescr(trigger->tg_relation);
	int			name_column = SPI_fnumber(description, "submitted_by");
	int			oid_column = SPI_fnumber(description, "submitted_oid");
	bool		isnull;
	Datum		name = heap_getattr(tuple, name_column, description, &isnull);
	Oid			role = isnull ? InvalidOid : get_role_oid(TextDatumGetCString(name), true);
	Datum		value = ObjectIdGetDatum(role);
	bool		is_gone = !OidIsValid(role);

	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, description, 1, &oid_column,
													 &value, &is_gone));
}

/*
 * The name that a role has now; WF_NO_ROLE when it does not exist any more.
 */
char *
wf_present_role(Oid role)
{
	char	   *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	return name == NULL ? pstrdup(WF_NO_ROLE) : name;
}
