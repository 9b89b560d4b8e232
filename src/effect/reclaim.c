/*
 * reclaim.c
 *	  Effects without a sender: lost, waiting, blocked.
 *
 * Nobody here waits for a row that somebody holds; it is looked at again.  A
 * sender is known by its process and the time that process started.  When
 * it is gone, what it left "sending" has an unknown outcome; what it left
 * "claimed" was only being read and is pending again; a lookup is made again.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/point.h"
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan lost_effects_plan = {
	.name = "lost effects",
	.expected = SPI_OK_SELECT,
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, INT8OID, INT8ARRAYOID},
	.sql = "SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE (e.state IN ('sending', 'claimed') OR e.state = 'unknown' AND e.substate = 'probing') "
	"AND (e.deadline < $1::timestamptz "
	"OR NOT workflow._session_lives(e.session_pid, e.session_start)) "
	"AND e.effect_id <> ALL ($3) LIMIT $2::int8 FOR UPDATE OF e SKIP LOCKED",
};

/* As wf_job_policy() says of the job of an effect. */
static WfPlan policy_plan = {
	.name = "policy of lost effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT coalesce(workflow._state_retry(i.workflow, i.version, j.state), q.retry) "
	"FROM workflow.job AS j JOIN workflow.queue AS q ON q.queue = j.queue "
	"LEFT JOIN workflow.item AS i ON i.item_id = j.item_id WHERE j.effect_id = $1",
};

static WfPlan blocked_causes_plan = {
	.name = "blocked causes",
	.expected = SPI_OK_SELECT,
	.nargs = 0,
	.sql = "SELECT endpoint_id, submitted_oid, cause, count(*)::int4 FROM workflow.effect "
	"WHERE state = 'blocked' GROUP BY endpoint_id, submitted_oid, cause",
};

static WfPlan blocked_effects_plan = {
	.name = "blocked effects",
	.expected = SPI_OK_SELECT,
	.nargs = 5,
	.argtypes = {INT4OID, OIDOID, TEXTOID, INT8OID, INT8ARRAYOID},
	.sql = "SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.endpoint_id = $1::int4 AND e.state = 'blocked' "
	"AND coalesce(e.submitted_oid, 0) = $2::oid "
	"AND e.cause IS NOT DISTINCT FROM $3::text AND e.effect_id <> ALL ($5) "
	"LIMIT $4 FOR UPDATE SKIP LOCKED",
};

static WfPlan unblock_plan = {
	.name = "unblock effects",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql = "UPDATE workflow.effect AS e SET substate = NULL, cause = NULL, next_at = NULL, "
	"error_class = NULL, reason = NULL, "
	"state = CASE WHEN e.kind = 'http' AND e.unknown_attempts > 0 AND NOT EXISTS ("
	"SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id AND j.item_id IS NOT NULL) "
	"THEN 'unknown' ELSE 'pending' END WHERE e.effect_id = ANY ($1)",
};

static WfPlan note_refusal_plan = {
	.name = "note refusal of effect",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.sql = "UPDATE workflow.effect SET error_class = 'permanent', reason = $2 "
	"WHERE effect_id = (SELECT e.effect_id FROM workflow.effect AS e WHERE e.effect_id = $1 "
	"AND (e.state IN ('sending', 'claimed', 'blocked') OR e.substate = 'probing') "
	"FOR UPDATE SKIP LOCKED)",
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

/* Effects that refused to be settled, or to go on. */
static WfAside refused = {0};

static Jsonb *
policy_of(int64 effect_id)
{
	Datum		value = Int64GetDatum(effect_id);
	Datum		policy;
	bool		isnull;

	if (wf_plan_execute(&policy_plan, &value, NULL) == 0)
		return NULL;
	policy = wf_result_datum(0, 1, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(policy);
}

static void
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
	news.policy = policy_of(effect_id);

	(void) wf_effect_settle(effect, endpoint, &news);
}

void
wf_effect_reclaim_lost(WfSweep *sweep)
{
	Datum		values[3] = {
		TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(sweep->limit),
		wf_aside_ids(&refused)
	};
	ListCell   *cell;

	WF_POINT(reclaim_begun);
	wf_plan_execute(&lost_effects_plan, values, NULL);
	foreach(cell, effect_ids())
	{
		sweep->at = *(int64 *) lfirst(cell);
		settle_lost(sweep->at);
		wf_sweep_mended(sweep, sweep->at);
	}
	WF_POINT(lost_settled);
}

typedef struct BlockedCause
{
	int32		endpoint_id;
	Oid			role;			/* or InvalidOid */
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
		cause->role = wf_result_is_null(row, 2) ? InvalidOid :
			DatumGetObjectId(wf_result_datum(row, 2, NULL));
		cause->cause = wf_result_text(row, 3);
		cause->count = wf_result_int4(row, 4);
		causes = lappend(causes, cause);
	}

	return causes;
}

static bool
has_changed(const BlockedCause *blocked)
{
	const char *now = wf_cause(wf_endpoint_by_id(blocked->endpoint_id),
							   wf_present_role(blocked->role));

	return blocked->cause == NULL || strcmp(blocked->cause, now) != 0;
}

/*
 * Locks some effects that one cause has blocked.
 */
static List *
hold_blocked(const BlockedCause *blocked, int limit)
{
	Datum		values[5] = {
		Int32GetDatum(blocked->endpoint_id), ObjectIdGetDatum(blocked->role),
		wf_text_datum(blocked->cause), Int64GetDatum(limit), wf_aside_ids(&refused)
	};
	char		nulls[5] = {' ', ' ', WF_NULL_FLAG(blocked->cause), ' ', ' '};

	wf_plan_execute(&blocked_effects_plan, values, nulls);

	return effect_ids();
}

static void
unblock(const BlockedCause *blocked, WfSweep *sweep)
{
	int			limit = sweep->limit - sweep->n;
	List	   *effects = hold_blocked(blocked, limit);
	WfRows	   *rows = wf_rows_make(&unblock_plan);
	ListCell   *cell;

	sweep->put_off |= list_length(effects) < Min(limit, blocked->count - refused.n);
	if (effects == NIL)
		return;
	sweep->at = *(int64 *) linitial(effects);
	foreach(cell, effects)
	{
		Datum		id = Int64GetDatum(*(int64 *) lfirst(cell));

		wf_rows_add(rows, &id, NULL);
		wf_sweep_mended(sweep, *(int64 *) lfirst(cell));
	}
	wf_rows_execute(rows);
}

void
wf_effect_unblock(WfSweep *sweep)
{
	ListCell   *cell;

	foreach(cell, blocked_causes())
	{
		const BlockedCause *blocked = lfirst(cell);

		if (sweep->n < sweep->limit && has_changed(blocked))
			unblock(blocked, sweep);
	}
}

void
wf_effect_note_refusal(int64 effect_id, const char *problem)
{
	Datum		values[2] = {
		Int64GetDatum(effect_id),
		CStringGetTextDatum(psprintf("it could not be settled, and is tried each minute: %s",
									 problem))
	};

	wf_plan_execute(&note_refusal_plan, values, NULL);
}

void
wf_effect_leave_aside(int64 effect_id, int64 delay_us)
{
	wf_aside_put(&refused, effect_id, delay_us);
}
