/*
 * bind.c
 *	  Which role a name in a row means.
 *
 * A row names roles for people and for a restore, and beside each name keeps
 * the oid that the name meant when the row was written.  Renamed, a role is
 * still meant; dropped, nobody is, whoever has the name by now.
 */
#include "postgres.h"

#include "base/guard.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
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

/*
 * Where a row has a name twice, of a role that was dropped and made again, only
 * one of the two can be meant by now: those stay as they are.
 */
static char *
bind_again_sql(const char *table, const char *name_column, const char *oid_column, const char *of)
{
	StringInfoData sql;
	const char *role = psprintf("(SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = t.%s)",
								quote_identifier(name_column));

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE workflow.%s AS t SET %s = %s WHERE t.%s IS DISTINCT FROM %s",
					 quote_identifier(table), quote_identifier(oid_column), role,
					 quote_identifier(oid_column), role);
	if (of[0] != '\0')
		appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM workflow.%s AS o WHERE o.%s = t.%s AND o.%s = t.%s AND o.ctid <> t.ctid)",
						 quote_identifier(table), quote_identifier(of), quote_identifier(of),
						 quote_identifier(name_column), quote_identifier(name_column));

	return sql.data;
}

PG_FUNCTION_INFO_V1(wf_inner_bind_again);

/*
 * _bind_again(relation text, name text, oid text, of text) returns bigint
 */
Datum
wf_inner_bind_again(PG_FUNCTION_ARGS)
{
	char	   *table = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *sql = bind_again_sql(table, text_to_cstring(PG_GETARG_TEXT_PP(1)),
									 text_to_cstring(PG_GETARG_TEXT_PP(2)), text_to_cstring(PG_GETARG_TEXT_PP(3)));
	WfPass		previous;
	volatile uint64 bound = 0;

	SPI_connect();
	previous = wf_guard_open(table);
	PG_TRY();
	{
		if (SPI_execute(sql, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "unexpected SPI result of \"%s\"", sql);
		bound = SPI_processed;
	}
	PG_FINALLY();
	{
		wf_guard_close(previous);
	}
	PG_END_TRY();
	SPI_finish();

	PG_RETURN_INT64(bound);
}
