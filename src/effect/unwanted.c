/*
 * unwanted.c
 *	  Effects that no item wants any more.
 *
 * An item has left the state that intended them.  What was not sent, or is
 * proven not applied, is cancelled.  What may have been applied is looked up
 * where its endpoint says how, so that the ledger ends in the truth: a job that
 * stands alone does that, and never sends.  An effect of kind http or model
 * without a job of an item is one that nobody wants.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * What may have been applied is not forgotten: "abandoned" says so; and what is
 * known to be applied, and is sent again for its answer only, has succeeded.  At time $1.
 */
#define GIVE_UP \
	"UPDATE workflow.effect AS e SET " \
	"(state, substate) = (SELECT CASE WHEN w.done IS NULL THEN 'cancelled' ELSE 'succeeded' END, " \
	"coalesce(w.done, CASE WHEN e.unknown_attempts > 0 THEN 'abandoned' END) " \
	"FROM (SELECT CASE WHEN e.unknown_attempts > 0 " \
	"THEN workflow._known_success(e.effect_id) END) AS w (done)), " \
	"reason = 'the item moved on', next_at = NULL, cause = NULL, " \
	"finished_at = $1::timestamptz "

/*
 * What another job waits for is not cancelled with this visit.
 */
static WfPlan cancel_visit_plan = {
	.name = "cancel effects of a visit",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, INT8OID, INT4OID},
	.sql = GIVE_UP
	"WHERE e.item_id = $2::int8 AND e.item_seq = $3::int4 "
	"AND e.state IN ('pending', 'claimed', 'unknown', 'blocked') "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id "
	"AND (j.item_id, j.seq) IS DISTINCT FROM ($2::int8, $3::int4))",
};

static WfPlan give_up_plan = {
	.name = "give up what nobody wants",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
	.sql = GIVE_UP "WHERE e.effect_id = $2::int8",
};

static WfPlan doubts_plan = {
	.name = "doubts of a visit",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.item_id = $1::int8 AND e.item_seq = $2::int4 AND e.kind = 'http' "
	"AND e.state IN ('pending', 'unknown', 'blocked') AND e.unknown_attempts > 0 "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id "
	"AND (j.item_id, j.seq) IS DISTINCT FROM ($1::int8, $2::int4)) "
	"AND workflow._known_success(e.effect_id) IS NULL FOR UPDATE",
};

/*
 * One that is being looked up stays so, until that is recorded.
 */
static WfPlan look_up_plan = {
	.name = "look up what nobody wants",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "UPDATE workflow.effect SET state = 'unknown', substate = NULL, next_at = NULL, "
	"cause = NULL, reason = 'the item moved on: whether it was applied is looked up' "
	"WHERE effect_id = $1::int8 AND substate IS DISTINCT FROM 'probing'",
};

static WfPlan hold_plan = {
	.name = "hold what nobody can look up",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "UPDATE workflow.effect SET state = 'held', substate = NULL, next_at = NULL, "
	"error_class = 'unknown_outcome', "
	"reason = 'the item moved on, and whether it was applied cannot be looked up' "
	"WHERE effect_id = $1::int8",
};

static WfPlan cancel_plan = {
	.name = "cancel effect that nobody wants",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.effect AS e SET state = 'cancelled', substate = NULL, "
	"reason = 'the item moved on', next_at = NULL, cause = NULL, "
	"finished_at = $2::timestamptz "
	"WHERE e.effect_id = $1::int8 AND e.state IN ('pending', 'blocked') "
	"AND e.unknown_attempts = 0 AND e.kind IN ('http', 'model') "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j "
	"WHERE j.effect_id = e.effect_id AND j.item_id IS NOT NULL)",
};

static WfPlan wanted_plan = {
	.name = "who wants an effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT 1 FROM workflow.job WHERE effect_id = $1::int8 AND item_id IS NOT NULL "
	"AND status <> 'dead' LIMIT 1",
};

static WfPlan orphans_plan = {
	.name = "effects without a job",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT4OID, INT8ARRAYOID},
	.sql = "SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.kind IN ('http', 'model') AND (e.state = 'pending' "
	"OR e.state = 'blocked' AND e.unknown_attempts = 0 "
	"OR e.state = 'unknown' AND e.unknown_attempts > 0 AND e.token IS NULL) "
	"AND e.effect_id <> ALL ($2) "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id) "
	"LIMIT $1::int4",
};

static WfEndpoint *
where_to_look_up(const WfEffect *effect)
{
	WfEndpoint *endpoint = wf_endpoint_if_any(effect, NULL);

	return endpoint != NULL && wf_may_look_up(effect, endpoint) ? endpoint : NULL;
}

static void
look_up(const WfEffect *effect, const WfEndpoint *endpoint)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	wf_plan_execute(&look_up_plan, &id, NULL);
	wf_effect_enqueue(effect->effect_id, endpoint->name, NULL);
}

/*
 * Has looked up what may have been applied, where that can be.
 */
static void
look_up_doubts(int64 item_id, int seq)
{
	Datum		values[2] = {Int64GetDatum(item_id), Int32GetDatum(seq)};
	uint64		found = wf_plan_execute(&doubts_plan, values, NULL);
	int64	   *ids = palloc(sizeof(int64) * (found + 1));

	for (uint64 row = 0; row < found; row++)
		ids[row] = wf_result_int8(row, 1);
	for (uint64 i = 0; i < found; i++)
	{
		WfEffect   *effect = wf_effect_read(ids[i]);
		WfEndpoint *endpoint = where_to_look_up(effect);

		if (endpoint != NULL)
			look_up(effect, endpoint);
	}
}

void
wf_effect_cancel_visit(int64 item_id, int seq)
{
	Datum		values[3] = {
		TimestampTzGetDatum(wf_now()), Int64GetDatum(item_id), Int32GetDatum(seq)
	};

	look_up_doubts(item_id, seq);
	wf_plan_execute(&cancel_visit_plan, values, NULL);
}

bool
wf_effect_cancel_unwanted(int64 effect_id)
{
	Datum		values[2] = {Int64GetDatum(effect_id), TimestampTzGetDatum(wf_now())};

	return wf_plan_execute(&cancel_plan, values, NULL) > 0;
}

bool
wf_effect_is_wanted(int64 effect_id)
{
	Datum		id = Int64GetDatum(effect_id);

	return wf_plan_execute(&wanted_plan, &id, NULL) > 0;
}

/*
 * Ends what may have been applied, or has it looked up; where neither can be, a
 * person is asked.
 */
static void
settle_doubt(const WfEffect *effect)
{
	WfEndpoint *endpoint = where_to_look_up(effect);
	Datum		values[2] = {TimestampTzGetDatum(wf_now()), Int64GetDatum(effect->effect_id)};
	char	   *reference;

	if (wf_known_success(effect, &reference) != NULL)
		wf_plan_execute(&give_up_plan, values, NULL);
	else if (endpoint != NULL)
		look_up(effect, endpoint);
	else
		wf_plan_execute(&hold_plan, &values[1], NULL);
}

bool
wf_effect_settle_unwanted(int64 effect_id)
{
	WfEffect   *effect = wf_effect_try_lock(effect_id);

	if (effect == NULL)
		return false;
	if (wf_effect_cancel_unwanted(effect_id))
		return true;
	if ((strcmp(effect->kind, "http") == 0 || strcmp(effect->kind, "model") == 0) &&
		effect->unknown_attempts > 0 && effect->token == NULL &&
		(wf_effect_is(effect, "unknown") || wf_effect_is(effect, "pending")))
		settle_doubt(effect);

	return true;
}

int
wf_effect_find_orphans(int64 *effects, int size, Datum but)
{
	Datum		values[2] = {Int32GetDatum(size), but};
	uint64		found = wf_plan_execute(&orphans_plan, values, NULL);

	for (uint64 row = 0; row < found; row++)
		effects[row] = wf_result_int8(row, 1);

	return found;
}
