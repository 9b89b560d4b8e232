/*
 * guard.c
 *	  Tables whose rows are not lost, nor records rewritten, by hand.
 *
 * What lets a statement of the engine through is a value of this process, set
 * by C code around the one statement: no setting, which anybody could set, and
 * no role, which a superuser has anyway.
 */
#include "postgres.h"

#include "base/guard.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

static WfPass pass = {0};

static int
trigger_depth(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);

	return DatumGetInt32(pg_trigger_depth(fcinfo));
}

/*
 * Returns what was let through before, for wf_guard_close().
 */
WfPass
wf_guard_open(const char *table)
{
	WfPass		previous = pass;

	pass.table = table;
	pass.trigger_depth = trigger_depth();

	return previous;
}

void
wf_guard_close(WfPass previous)
{
	pass = previous;
}

/*
 * A trigger of the statement itself fires one level below it; one of a
 * statement inside another trigger fires deeper.
 */
bool
wf_guard_is_open(const char *table)
{
	return pass.table != NULL && strcmp(pass.table, table) == 0 &&
		trigger_depth() == pass.trigger_depth + 1;
}

/*
 * A function runs at the level of the statement that calls it.
 */
void
wf_guard_require(const char *table)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ||
		(pass.table != NULL && strcmp(pass.table, table) == 0 && trigger_depth() == pass.trigger_depth))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of workflow.%s are not removed by hand", table),
			 errdetail("The function is called by the engine alone."),
			 errhint("workflow.run(), or a worker, calls it.")));
}

static const char *
operation(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_DELETE(event))
		return "DELETE";
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "UPDATE";

	return "TRUNCATE";
}

static void
refuse(const TriggerData *trigger)
{
	char	   *table = SPI_getrelname(trigger->tg_relation);
	char	  **arguments = trigger->tg_trigger->tgargs;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
					"what workflow.%s records is not changed by hand" :
					"rows of workflow.%s are not removed by hand", table),
			 errdetail("%s was refused: %s.", operation(trigger->tg_event), arguments[0]),
			 errhint("%s.", arguments[1])));
}

static HeapTuple
row_to_store(const TriggerData *trigger)
{
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return NULL;

	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
}

PG_FUNCTION_INFO_V1(wf_guard);

/*
 * _guard(why, hint): a trigger before UPDATE, DELETE or TRUNCATE
 */
Datum
wf_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger with two arguments, why and hint")));
	if (!wf_guard_is_open(RelationGetRelationName(trigger->tg_relation)))
		refuse(trigger);

	return PointerGetDatum(row_to_store(trigger));
}
