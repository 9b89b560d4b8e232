/*
 * reclaim.c
 *	  Effects without a sender: lost, waiting, blocked, no longer wanted.
 *
 * Nobody here waits for a row that somebody holds; it is looked at again.  A
 * sender is known by its process and the time that process started.  When
 * it is gone, what it left "sending" has an unknown outcome; what it left
 * "claimed" was only being read and is pending again; a lookup is made again.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan lost_effects_plan = {
	.name = "lost effects",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
	.sql = "SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE (e.state IN ('sending', 'claimed') OR e.state = 'unknown' AND e.substate = 'probing') "
	"AND (e.deadline < $1::timestamptz "
	"OR NOT workflow._session_lives(e.session_pid, e.session_start)) "
	"LIMIT $2::int8 FOR UPDATE OF e SKIP LOCKED",
};

static WfPlan blocked_causes_plan = {
	.name = "blocked causes",
	.expected = SPI_OK_SELECT,
	.nargs = 0,
	.sql = "SELECT endpoint_id, submitted_by, cause, count(*)::int4 FROM workflow.effect "
	"WHERE state = 'blocked' GROUP BY endpoint_id, submitted_by, cause",
};

static WfPlan unblock_plan = {
	.name = "unblock effects",
	.expected = SPI_OK_UPDATE_RETURNING,
	.nargs = 3,
	.argtypes = {INT4OID, TEXTOID, TEXTOID},
	.sql = "UPDATE workflow.effect SET state = 'pending', substate = NULL, cause = NULL, "
	"next_at = NULL WHERE effect_id = ANY (ARRAY(SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.endpoint_id = $1::int4 AND e.submitted_by = $2::text AND e.state = 'blocked' "
	"AND e.cause IS NOT DISTINCT FROM $3::text FOR UPDATE SKIP LOCKED)) RETURNING effect_id",
};

/*
 * What another job waits for is not cancelled with this visit.  What may have
 * been applied is not forgotten: "abandoned" says so; and what was applied, and
 * is sent again for its answer only, has succeeded.
 */
static WfPlan cancel_visit_plan = {
	.name = "cancel effects of a visit",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.effect AS e SET "
	"(state, substate) = (SELECT CASE WHEN w.done THEN 'succeeded' ELSE 'cancelled' END, "
	"CASE WHEN w.done THEN 'no_body' WHEN e.unknown_attempts > 0 THEN 'abandoned' END "
	"FROM (SELECT e.unknown_attempts > 0 "
	"AND workflow._was_answered_with_success(e.effect_id)) AS w (done)), "
	"reason = 'the item moved on', next_at = NULL, cause = NULL, "
	"finished_at = $3::timestamptz "
	"WHERE e.item_id = $1::int8 AND e.item_seq = $2::int4 "
	"AND e.state IN ('pending', 'claimed', 'unknown', 'blocked') "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id "
	"AND (j.item_id, j.seq) IS DISTINCT FROM ($1::int8, $2::int4))",
};

static List *
effect_ids(void)
{
	List	   *ids = NIL;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = wf_result_int8(row, 1);
		ids = lappend(ids, id);
	}

	return ids;
}

static WfEffectOutcome *
copy_outcome(WfEffectOutcome outcome)
{
	WfEffectOutcome *copy = palloc(sizeof(WfEffectOutcome));

	*copy = outcome;

	return copy;
}

static WfEffectOutcome *
settle_lost(int64 effect_id)
{
	WfEffect   *effect = wf_effect_lock(effect_id);
	WfEndpoint *endpoint = wf_endpoint_of(effect, NULL);
	WfExchangeKind kind = wf_exchange_under_way(effect);
	WfFacts		facts = {.phase = kind == WF_EXCHANGE_ACTION ? 1 : 0,.kind = kind};
	WfNews		news = {.retry_after_us = -1};

	news.verdict = wf_classify(&facts, endpoint);
	news.verdict.message = "the sender ended before it recorded an outcome";
	if (kind == WF_EXCHANGE_PROBE)
	{
		news.finding = WF_FINDING_INCONCLUSIVE;
		wf_lookup_judge(news.finding, effect, endpoint, &news.verdict);
	}
	news.policy = wf_jsonb_get_jsonb(effect->spec, "retry");

	return copy_outcome(wf_effect_settle(effect, endpoint, &news));
}

List *
wf_effect_reclaim_lost(int limit)
{
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(limit)};
	List	   *outcomes = NIL;
	ListCell   *cell;

	wf_plan_execute(&lost_effects_plan, values, NULL);
	foreach(cell, effect_ids())
		outcomes = lappend(outcomes, settle_lost(*(int64 *) lfirst(cell)));

	return outcomes;
}

typedef struct BlockedCause
{
	int32		endpoint_id;
	char	   *role;
	char	   *cause;			/* or NULL */
	int			count;			/* of effects */
} BlockedCause;

static List *
blocked_causes(void)
{
	List	   *causes = NIL;

	wf_plan_execute(&blocked_causes_plan, NULL, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		BlockedCause *cause = palloc(sizeof(BlockedCause));

		cause->endpoint_id = wf_result_int4(row, 1);
		cause->role = wf_result_text(row, 2);
		cause->cause = wf_result_text(row, 3);
		cause->count = wf_result_int4(row, 4);
		causes = lappend(causes, cause);
	}

	return causes;
}

static bool
has_changed(const BlockedCause *blocked)
{
	const char *now = wf_cause(wf_endpoint_by_id(blocked->endpoint_id), blocked->role);

	return blocked->cause == NULL || strcmp(blocked->cause, now) != 0;
}

static List *
unblock(const BlockedCause *blocked)
{
	Datum		values[3] = {
		Int32GetDatum(blocked->endpoint_id), CStringGetTextDatum(blocked->role),
		wf_text_datum(blocked->cause)
	};
	char		nulls[3] = {' ', ' ', WF_NULL_FLAG(blocked->cause)};

	wf_plan_execute(&unblock_plan, values, nulls);

	return effect_ids();
}

List *
wf_effect_unblock(bool *put_off)
{
	List	   *outcomes = NIL;
	ListCell   *cell;
	ListCell   *id;

	foreach(cell, blocked_causes())
	{
		const BlockedCause *blocked = lfirst(cell);
		List	   *ids;

		if (!has_changed(blocked))
			continue;
		ids = unblock(blocked);
		*put_off |= list_length(ids) < blocked->count;
		foreach(id, ids)
		{
			WfEffectOutcome outcome = {0};

			outcome.effect_id = *(int64 *) lfirst(id);
			outcome.disposition = WF_EFFECT_AGAIN;
			outcome.next_at = wf_now();
			outcomes = lappend(outcomes, copy_outcome(outcome));
		}
	}

	return outcomes;
}

void
wf_effect_cancel_visit(int64 item_id, int seq)
{
	Datum		values[3] = {
		Int64GetDatum(item_id), Int32GetDatum(seq), TimestampTzGetDatum(wf_now())
	};

	wf_plan_execute(&cancel_visit_plan, values, NULL);
}
