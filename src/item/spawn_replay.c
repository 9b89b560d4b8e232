/*
 * spawn_replay.c
 *	  Taking up the children of a visit again, by a replay.
 *
 * A spawn state that cannot go on, and does not handle "error", stays where it
 * is (workflow.spawn.failed_at).  A replay goes on in the same visit: children
 * that have succeeded or live are those of before; where too many had failed,
 * these are put aside (they have no place in the array any more) and started
 * again, by the data and the version of their workflow as they are now.
 *
 * The counts stay right without a look at who was counted: what is put aside is
 * taken off them at once, and a row in workflow.child_end that is still to be
 * counted adds it again.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct Renewal
{
	const WfVisit *visit;
	WfSpawn    *order;
} Renewal;

static void
take_order(void *argument)
{
	Renewal    *renewal = argument;

	renewal->order = wf_spawn_order(renewal->visit);
}

/*
 * Those that are there have their places in the array.
 */
static void
require_same_places(const WfSpawn *old, const WfSpawn *new)
{
	static WfPlan plan = {
		.name = "children in other places",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, JSONBOID},
		.sql = "SELECT c.parent_index, c.key, k.key FROM ("
		"SELECT n - 1, e ->> 0 FROM jsonb_array_elements($3) WITH ORDINALITY AS a (e, n)) AS k (place, key) "
		"JOIN workflow.item AS c ON c.parent_id = $1 AND c.parent_seq = $2 AND c.parent_index = k.place "
		"WHERE c.key <> k.key AND left(c.key, length(k.key) + 1) <> k.key || '#' ORDER BY 1 LIMIT 1",
	};
	Datum		values[3] = {Int64GetDatum(old->item_id), Int32GetDatum(old->seq), (Datum) 0};

	if (new->total < old->started)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the array has %d elements, and %d children are started", new->total, old->started),
				 errdetail("They belong to its first elements."),
				 errhint("Give a patch that leaves these where they are.")));
	if (new->children == NULL)
		return;
	values[2] = JsonbPGetDatum(new->children);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("child %d has the key \"%s\", and its element now makes \"%s\"",
					wf_result_int4(0, 1), wf_result_text(0, 2), wf_result_text(0, 3)),
			 errdetail("What is started belongs to its place in the array."),
			 errhint("Give a patch that leaves the order and the keys as they are.")));
}

/*
 * Children that have failed lose their places.  Returns these, as int4[].
 */
static Datum
put_failed_aside(const WfSpawn *spawn)
{
	static WfPlan find_plan = {
		.name = "failed children",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT coalesce(array_agg(c.parent_index ORDER BY c.parent_index), '{}') "
		"FROM workflow.spawn AS s JOIN workflow.item AS c ON c.parent_id = s.item_id AND c.parent_seq = s.seq "
		"WHERE s.item_id = $1 AND s.seq = $2 AND c.parent_index IS NOT NULL "
		"AND c.outcome IS NOT NULL AND NOT workflow._is_success(c.outcome, s.success)",
	};
	static WfPlan put_plan = {
		.name = "put failed children aside",
		.expected = SPI_OK_UPDATE,
		.passes = "item",
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, INT4ARRAYOID},
		.sql = "UPDATE workflow.item SET parent_index = NULL "
		"WHERE parent_id = $1 AND parent_seq = $2 AND parent_index = ANY ($3)",
	};
	Datum		values[3] = {Int64GetDatum(spawn->item_id), Int32GetDatum(spawn->seq), (Datum) 0};

	wf_plan_execute(&find_plan, values, NULL);
	values[2] = PointerGetDatum(PG_DETOAST_DATUM_COPY(wf_result_datum(0, 1, NULL)));
	wf_plan_execute(&put_plan, values, NULL);

	return values[2];
}

static void
renew(const WfSpawn *old, const WfSpawn *new, Datum failed)
{
	static WfPlan plan = {
		.name = "renew spawn",
		.expected = SPI_OK_UPDATE,
		.passes = "spawn",
		.nargs = 7,
		.argtypes = {INT8OID, INT4OID, INT4OID, INT4OID, INT4OID, JSONBOID, INT4ARRAYOID},
		.sql = "UPDATE workflow.spawn SET version = $3, total = $4, needed = $5, children = $6, "
		"redo = redo || $7, ended = ended - cardinality($7), replays = replays + 1, "
		"verdict = NULL, decided_at = NULL, had_succeeded = NULL, had_failed = NULL, "
		"failed_at = NULL, failed_in = NULL, error_class = NULL, error_message = NULL "
		"WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[7];
	char		nulls[] = "       ";

	values[0] = Int64GetDatum(old->item_id);
	values[1] = Int32GetDatum(old->seq);
	values[2] = Int32GetDatum(new->version);
	values[3] = Int32GetDatum(new->total);
	values[4] = Int32GetDatum(new->needed);
	values[5] = new->children == NULL ? (Datum) 0 : JsonbPGetDatum(new->children);
	nulls[5] = WF_NULL_FLAG(new->children);
	values[6] = failed;
	wf_plan_execute(&plan, values, nulls);
}

/*
 * Takes up the visit of a spawn state that could not go on.  The item is locked.
 */
void
wf_item_replay_spawn(const WfVisit *visit)
{
	Renewal		renewal = {visit};
	WfSpawn    *spawn = wf_spawn_lock(visit->item->item_id, visit->item->seq);
	WfFault		fault;
	Datum		failed;

	if (spawn == NULL)
		elog(ERROR, "item " INT64_FORMAT " has spawned nothing in visit %d", visit->item->item_id, visit->item->seq);
	if (!wf_item_try(take_order, &renewal, &fault))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the children of state \"%s\" cannot be started: %s", visit->state->name, fault.message),
				 errdetail("%s", wf_item_facts(visit->item)),
				 errhint("Give a patch that mends the data.")));
	require_same_places(spawn, renewal.order);
	failed = spawn->verdict != NULL && strcmp(spawn->verdict, "error") == 0 ? put_failed_aside(spawn) :
		PointerGetDatum(construct_empty_array(INT4OID));
	renew(spawn, renewal.order, failed);
	wf_item_set_timer(visit->item, WF_TIMER_SPAWN, wf_spawn_now(), "spawn");
}
