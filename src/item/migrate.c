/*
 * migrate.c
 *	  Moving an item to another version of its workflow.
 *
 * A migration is a move, logged and judged like any other, that changes the
 * version beside the state (or instead of it).  Where the state means the same
 * in both versions the visit goes on: its job, timers, review and effect are
 * those of the new visit, nothing is done twice, and the time of its entry
 * stays.  Else the old state is left and the new one entered.
 *
 * Who may be moved now is judged before, in sql/migrate.sql, under the locks of
 * the item, its job and its effects.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* ------------------------------------------------------- the same activity */

static Jsonb *
without_retry(Jsonb *activity)
{
	if (activity == NULL || !wf_jsonb_is_object(activity))
		return activity;

	return wf_jsonb_without(activity, "retry");
}

static bool
same_jsonb(Jsonb *left, Jsonb *right)
{
	if (left == NULL || right == NULL)
		return left == right;

	return compareJsonbContainers(&left->root, &right->root) == 0;
}

/*
 * Whether a visit of one state can go on as one of the other: the same is done,
 * in the same queue.  How often it is tried is read when it fails.
 */
static bool
is_same_activity(const WfState *left, const WfState *right)
{
	return left->kind == right->kind &&
		wf_same_text(left->queue, right->queue) &&
		wf_same_text(left->then_event, right->then_event) &&
		same_jsonb(without_retry(left->activity), without_retry(right->activity));
}

PG_FUNCTION_INFO_V1(wf_inner_same_activity);

/*
 * _same_activity(workflow, from_version, state, to_version, target) returns bool
 */
Datum
wf_inner_same_activity(PG_FUNCTION_ARGS)
{
	char	   *workflow = wf_argument_text(fcinfo, 0, "workflow");
	const WfState *from;
	const WfState *to;
	bool		same;

	SPI_connect();
	from = wf_graph_state(wf_graph(workflow, PG_GETARG_INT32(1)), wf_argument_text(fcinfo, 2, "state"));
	to = wf_graph_state(wf_graph(workflow, PG_GETARG_INT32(3)), wf_argument_text(fcinfo, 4, "target"));
	same = from != NULL && to != NULL && is_same_activity(from, to);
	SPI_finish();

	PG_RETURN_BOOL(same);
}

/* ---------------------------------------------------------- the visit goes on */

/* Who held a claim of the job would find its token stale: nobody does. */
static WfPlan job_plan = {
	.name = "carry job over",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT4OID, TEXTOID},
	.sql = "UPDATE workflow.job SET seq = $3, state = $4 WHERE item_id = $1 AND seq = $2",
};

static WfPlan effect_plan = {
	.name = "carry effect over",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT4OID, TEXTOID},
	.sql = "UPDATE workflow.effect SET item_seq = $3, item_state = $4 "
	"WHERE item_id = $1 AND item_seq = $2",
};

static WfPlan timer_plan = {
	.name = "carry timers over",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.argtypes = {INT8OID, INT4OID, INT4OID},
	.sql = "UPDATE workflow.timer SET seq = $3 WHERE item_id = $1 AND seq = $2",
};

static WfPlan review_plan = {
	.name = "carry review over",
	.expected = SPI_OK_UPDATE,
	.passes = "review",
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT4OID, TEXTOID},
	.sql = "UPDATE workflow.review SET seq = $3, state = $4 "
	"WHERE item_id = $1 AND seq = $2 AND closed_at IS NULL",
};

static WfPlan deadline_plan = {
	.name = "move deadline",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT8OID, TEXTOID},
	.sql = "UPDATE workflow.timer SET event = $4, "
	"due_at = due_at + $3 * interval '1 microsecond', "
	"paused_due_at = paused_due_at + $3 * interval '1 microsecond' "
	"WHERE item_id = $1 AND seq = $2 AND kind = 'timeout'",
};

static WfPlan no_deadline_plan = {
	.name = "drop deadline",
	.expected = SPI_OK_DELETE,
	.passes = "timer",
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "DELETE FROM workflow.timer WHERE item_id = $1 AND seq = $2 AND kind = 'timeout'",
};

/*
 * The limit of the other version counts from when this one began to count, also
 * of a deadline that was put aside in a pause.
 */
static void
change_deadline(const WfItem *item, const WfState *from, const WfState *to)
{
	Datum		values[4];

	if (from->timeout_us == to->timeout_us && wf_same_text(from->timeout_event, to->timeout_event))
		return;
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	if (to->timeout_us == 0)
	{
		wf_plan_execute(&no_deadline_plan, values, NULL);
		return;
	}
	values[2] = Int64GetDatum(to->timeout_us - from->timeout_us);
	values[3] = CStringGetTextDatum(to->timeout_event);
	if (from->timeout_us == 0 || wf_plan_execute(&deadline_plan, values, NULL) == 0)
		wf_item_set_timer(item, "timeout", item->since + to->timeout_us, to->timeout_event);
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * What belongs to the old visit belongs to the new one.
 */
static void
carry_over(const WfItem *old, const WfItem *new, const WfActiveMove *active)
{
	Datum		values[4];

	values[0] = Int64GetDatum(old->item_id);
	values[1] = Int32GetDatum(old->seq);
	values[2] = Int32GetDatum(new->seq);
	values[3] = CStringGetTextDatum(new->state);
	wf_plan_execute(&timer_plan, values, NULL);
	if (!active->migration->is_timed)
	{
		change_deadline(new, active->from, active->to);
		if (active->to->awaits_compensation)
			wf_item_await_compensation(new);
	}
	wf_item_end_sla(old, active->from);
	wf_item_begin_sla(new, active->to, new->since);
	if (!wf_item_state_has_job(active->from))
		return;
	wf_plan_execute(&job_plan, values, NULL);
	if (active->from->kind == WF_ACTIVITY_HTTP || active->from->kind == WF_ACTIVITY_MODEL)
		wf_plan_execute(&effect_plan, values, NULL);
	if (active->from->kind == WF_ACTIVITY_REVIEW)
		wf_plan_execute(&review_plan, values, NULL);
}

/*
 * The log says when it was migrated, though the visit is older.
 */
static void
log_migration(const WfItem *old, const WfItem *new, const WfActiveMove *active)
{
	WfItem	   *logged = wf_item_copy(new);
	WfLogRow	row = {0};

	if (active->migration->keeps || active->migration->start_at != 0)
	{
		logged->since = wf_now();
		row.visit_since = new->since;
	}
	row.item = logged;
	row.before = old;
	row.move = active->move;
	wf_item_log(&row);
}

/*
 * Carries out a migration whose row has been judged.  Returns the item as it is
 * after all that followed at once: an event that was kept may be handled now.
 */
const WfItem *
wf_item_migrate_visit(const WfItem *old, const WfItem *new, const WfActiveMove *active)
{
	WfVisit		visit = {0};
	const WfItem *moved = NULL;

	visit.item = new;
	visit.graph = active->graph;
	visit.state = active->to;
	visit.actor = active->move->actor;
	visit.start_at = active->migration->start_at;
	if (!active->migration->keeps)
	{
		wf_item_leave(old, active->from, false);
		log_migration(old, new, active);
		wf_item_note_end(new);
		return wf_item_enter(&visit);
	}
	carry_over(old, new, active);
	log_migration(old, new, active);
	if (wf_item_takes_events(active->to) && !active->migration->is_timed)
		moved = wf_item_fire_kept_event(&visit);

	return moved == NULL ? new : moved;
}

/* ------------------------------------------------------------------ the move */

/*
 * When an item starts that was submitted to start later and has not begun, also
 * one whose start was put aside in a pause.  Where the clock stands, a later visit
 * may be of the same time as the first one, and the log may have been emptied:
 * both have to say that it has made no move.
 */
static void
read_start(const WfItem *item, WfMigration *migration)
{
	static WfPlan plan = {
		.name = "start of visit",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
		.sql = "SELECT coalesce(paused_due_at, due_at), true FROM workflow.timer "
		"WHERE item_id = $1 AND seq = $2 AND kind = 'start' "
		"UNION ALL SELECT j.run_at, false FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) "
		"WHERE j.item_id = $1 AND j.seq = $2 AND j.run_at > $3 AND j.attempt = 0 AND i.since = i.received_at "
		"AND NOT EXISTS (SELECT FROM workflow.transition AS t WHERE t.item_id = $1 AND t.seq > 1 AND t.kind <> 'migrate') "
		"AND (j.status = 'ready' OR j.status = 'waiting' AND j.waiting_on = 'paused')",
	};
	Datum		values[3];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = TimestampTzGetDatum(wf_now());
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return;
	migration->start_at = DatumGetTimestampTz(wf_result_datum(0, 1, NULL));
	migration->is_timed = DatumGetBool(wf_result_datum(0, 2, NULL));
}

/*
 * What the log says of a migration; verify() reads it.
 */
static Jsonb *
migration_data(const WfItem *item, const WfMigration *migration)
{
	Jsonb	   *data = wf_jsonb_empty_object();

	data = wf_jsonb_with(data, "from_version", wf_jsonb_from_cstring(psprintf("%d", item->version)));
	data = wf_jsonb_with(data, "to_version", wf_jsonb_from_cstring(psprintf("%d", migration->to_version)));
	data = wf_jsonb_with(data, "kept", wf_jsonb_from_cstring(migration->keeps ? "true" : "false"));
	if (migration->start_at != 0)
		data = wf_jsonb_with(data, "starts_at", wf_jsonb_from_text(timestamptz_to_str(migration->start_at)));
	if (migration->origin != NULL)
		data = wf_jsonb_with(data, "origin", wf_jsonb_from_text(migration->origin));

	return data;
}

/*
 * Why an item is in an exception state: a migration to another one takes that
 * along in its row of the log, where whoever asks looks.
 */
static Jsonb *
with_cause(Jsonb *data, const WfItem *item)
{
	static WfPlan plan = {
		.name = "cause of exception",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT coalesce(data ->> 'error_class', event), coalesce(data ->> 'message', reason, event) "
		"FROM workflow.transition WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return data;
	data = wf_jsonb_with(data, "error_class", wf_jsonb_from_text(wf_result_text(0, 1)));

	return wf_jsonb_with(data, "message", wf_jsonb_from_text(wf_result_text(0, 2)));
}

static WfItem *
migrate(const WfItem *item, const char *target, WfMove *move, WfMigration *migration)
{
	WfActiveMove mine = {0};

	mine.item = item;
	mine.move = move;
	mine.migration = migration;
	mine.context = CurrentMemoryContext;
	mine.graph = wf_graph(item->workflow, migration->to_version);
	mine.from = wf_item_state(wf_graph(item->workflow, item->version), item->state);
	mine.to = wf_item_state(mine.graph, target);
	read_start(item, migration);
	migration->keeps = is_same_activity(mine.from, mine.to);
	move->event = "migrate";
	move->kind = "migrate";
	move->event_data = migration_data(item, migration);
	if (mine.from->kind == WF_ACTIVITY_EXCEPTION && mine.to->kind == WF_ACTIVITY_EXCEPTION)
		move->event_data = with_cause(move->event_data, item);
	wf_item_update_as(&mine);

	return mine.result;
}

PG_FUNCTION_INFO_V1(wf_inner_migrate);

/*
 * _migrate_item(item, to_version, target, origin, actor, reason) returns the
 * state that the item is in after all that followed
 */
Datum
wf_inner_migrate(PG_FUNCTION_ARGS)
{
	char	   *target = wf_argument_text(fcinfo, 2, "target");
	MemoryContext caller = CurrentMemoryContext;
	WfMigration migration = {0};
	WfMove		move = {0};
	WfItem	   *item;
	char	   *state;

	wf_require_argument(fcinfo, 1, "to_version");
	migration.to_version = PG_GETARG_INT32(1);
	migration.origin = wf_optional_text(fcinfo, 3);
	move.actor = wf_argument_text(fcinfo, 4, "actor");
	move.reason = wf_optional_text(fcinfo, 5);

	SPI_connect();
	item = wf_item_lock(wf_argument_item(fcinfo, false));
	state = MemoryContextStrdup(caller, migrate(item, target, &move, &migration)->state);
	SPI_finish();

	PG_RETURN_TEXT_P(cstring_to_text(state));
}
