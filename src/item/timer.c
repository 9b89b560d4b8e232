/*
 * timer.c
 *	  Timers: events to raise at a time, while the visit of a state lasts.
 *
 * The maintenance worker sleeps until the earliest one and fires what is due.
 * A state's timeout does not interrupt an outside action whose outcome is
 * open (open.c): the timer is put to infinity and set again when the job has
 * been told, or the guard of a task is settled (sql/item.sql).  That is judged
 * under the locks of the job and the effect, because a worker may be about to
 * begin it.
 * Timers of paused items do not count: what is due of them is put aside
 * (timer_pause.c).
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/deferred.h"
#include "base/plan.h"
#include "base/try.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define RETRY_DELAY_US	INT64CONST(1000000)
#define FAULT_DELAY_US	INT64CONST(60000000)

typedef struct DueTimer
{
	int64		item_id;
	int			seq;
	const char *kind;
	const char *event;
	const char *actor;
} DueTimer;

/*
 * Sets a timer of the item's present visit.
 */
void
wf_item_set_timer(const WfItem *item, const char *kind, TimestampTz due_at,
				  const char *event)
{
	wf_item_set_timer_of(item->item_id, item->seq, kind, due_at, event);
}

/*
 * The same of any visit.
 */
void
wf_item_set_timer_of(int64 item_id, int seq, const char *kind, TimestampTz due_at,
					 const char *event)
{
	static WfPlan plan = {
		.name = "set timer",
		.expected = SPI_OK_INSERT,
		.nargs = 5,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID},
		.sql = "INSERT INTO workflow.timer (item_id, seq, kind, due_at, event) "
		"VALUES ($1, $2, $3, $4, $5) "
		"ON CONFLICT (item_id, seq, kind) DO UPDATE "
		"SET due_at = excluded.due_at, event = excluded.event, paused_due_at = NULL",
	};
	Datum		values[5];

	values[0] = Int64GetDatum(item_id);
	values[1] = Int32GetDatum(seq);
	values[2] = CStringGetTextDatum(kind);
	values[3] = TimestampTzGetDatum(due_at);
	values[4] = CStringGetTextDatum(event);
	wf_plan_execute(&plan, values, NULL);
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * Deletes the timers of a visit that has ended.
 */
void
wf_item_drop_timers(const WfItem *item)
{
	static WfPlan plan = {
		.name = "drop timers",
		.expected = SPI_OK_DELETE,
		.passes = "timer",
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "DELETE FROM workflow.timer WHERE item_id = $1 AND seq = $2",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	wf_plan_execute(&plan, values, NULL);
}

static void
change_due(const DueTimer *timer, TimestampTz due_at)
{
	static WfPlan plan = {
		.name = "put off timer",
		.expected = SPI_OK_UPDATE,
		.nargs = 4,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID},
		.sql = "UPDATE workflow.timer SET due_at = $4 "
		"WHERE item_id = $1 AND seq = $2 AND kind = $3",
	};
	Datum		values[4];

	values[0] = Int64GetDatum(timer->item_id);
	values[1] = Int32GetDatum(timer->seq);
	values[2] = CStringGetTextDatum(timer->kind);
	values[3] = TimestampTzGetDatum(due_at);
	wf_plan_execute(&plan, values, NULL);
}

/*
 * The effect of a visit is no longer open: a timeout that waited for it is due
 * now.
 */
void
wf_item_revive_timeout(const WfItem *item)
{
	static WfPlan plan = {
		.name = "revive timeout",
		.expected = SPI_OK_UPDATE,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
		.sql = "UPDATE workflow.timer SET due_at = $3 "
		"WHERE item_id = $1 AND seq = $2 AND kind = 'timeout' AND due_at = 'infinity'",
	};
	Datum		values[3];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = TimestampTzGetDatum(wf_now());
	if (wf_plan_execute(&plan, values, NULL) > 0)
		wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * Locks the job of a visit and its effect: what is not open under these locks
 * does not begin before the timer has fired, nor after.  Returns false when
 * somebody holds one of them, as who begins the effect does.
 */
static bool
hold_effect(const DueTimer *timer)
{
	static WfPlan plan = {
		.name = "effect of visit",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT job_id, effect_id FROM workflow.job "
		"WHERE item_id = $1 AND seq = $2 AND effect_id IS NOT NULL",
	};
	Datum		values[2] = {Int64GetDatum(timer->item_id), Int32GetDatum(timer->seq)};
	int64		job_id;
	int64		effect_id;

	if (wf_plan_execute(&plan, values, NULL) == 0)
		return true;
	job_id = wf_result_int8(0, 1);
	effect_id = wf_result_int8(0, 2);

	return wf_queue_try_lock(job_id) != NULL &&
		wf_effect_hold_standing(effect_id).disposition != WF_EFFECT_BUSY;
}

/*
 * The same of guards.  Who begins one holds the item; who settles one finds
 * that the timeout waits for it, or is waited for here.
 */
static bool
hold_guards(const WfItem *item)
{
	static WfPlan plan = {
		.name = "guards of visit",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, TIMESTAMPTZOID},
		.sql = "SELECT e.effect_id FROM workflow.effect AS e "
		"WHERE e.item_id = $1 AND e.kind = 'guard' AND e.sending_at >= $2 AND workflow._is_open(e)",
	};
	Datum		values[2] = {Int64GetDatum(item->item_id), TimestampTzGetDatum(item->since)};
	uint64		found = wf_plan_execute(&plan, values, NULL);
	int64	   *ids = palloc(sizeof(int64) * (found + 1));

	for (uint64 row = 0; row < found; row++)
		ids[row] = wf_result_int8(row, 1);
	for (uint64 i = 0; i < found; i++)
		if (wf_effect_hold_standing(ids[i]).disposition == WF_EFFECT_BUSY)
			return false;

	return true;
}

/*
 * Returns false when it is not there any more.
 */
static bool
delete_timer(const DueTimer *timer)
{
	static WfPlan plan = {
		.name = "delete timer",
		.expected = SPI_OK_DELETE,
		.passes = "timer",
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "DELETE FROM workflow.timer WHERE item_id = $1 AND seq = $2 AND kind = $3",
	};
	Datum		values[3];

	values[0] = Int64GetDatum(timer->item_id);
	values[1] = Int32GetDatum(timer->seq);
	values[2] = CStringGetTextDatum(timer->kind);

	return wf_plan_execute(&plan, values, NULL) > 0;
}

/*
 * The review of a visit is overdue: the review room knows what follows.
 */
static void
review_is_overdue(const DueTimer *timer)
{
	static WfPlan plan = {
		.name = "review is overdue",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "SELECT workflow._review_overdue($1, $2, $3)",
	};
	Datum		values[3];

	values[0] = Int64GetDatum(timer->item_id);
	values[1] = Int32GetDatum(timer->seq);
	values[2] = CStringGetTextDatum(timer->actor);
	wf_plan_execute(&plan, values, NULL);
}

static void
begin_visit(const WfItem *item, const char *actor)
{
	WfVisit		visit = {0};

	visit.item = item;
	visit.graph = wf_graph(item->workflow, item->version);
	visit.state = wf_item_state(visit.graph, item->state);
	visit.actor = actor;
	(void) wf_item_enter(&visit);
}

static void
raise_event(const WfItem *item, const DueTimer *timer)
{
	WfMove		move = {0};

	move.event = timer->event;
	move.kind = "engine";
	move.actor = timer->actor;
	move.reason = strcmp(timer->kind, "timeout") == 0 ? "the state's timeout has passed" : NULL;
	(void) wf_item_move(item, &move);
}

/*
 * Whether a timeout has to wait, for the outcome of an effect or to find out
 * whether it has to; it is put off then.
 */
static bool
must_wait(const WfItem *item, const DueTimer *timer)
{
	WfOpen		open = WF_OPEN_SHORTLY;

	if (hold_effect(timer) && hold_guards(item))
		open = wf_item_visit_is_open(item);
	if (open == WF_OPEN_NOT)
		return false;
	change_due(timer, open == WF_OPEN ? DT_NOEND : wf_now() + RETRY_DELAY_US);

	return true;
}

/*
 * Fires one timer whose item is locked.
 */
static void
fire_locked(const WfItem *item, const DueTimer *timer)
{
	bool		is_close = strcmp(timer->kind, WF_TIMER_CLOSE) == 0;
	bool		is_compensated = strcmp(timer->kind, WF_TIMER_COMPENSATED) == 0;
	bool		is_of_visit = !is_close && !(is_compensated && timer->seq <= 0);
	bool		is_over = is_of_visit && item->seq != timer->seq;

	if (!is_over && strcmp(timer->kind, "timeout") == 0 && must_wait(item, timer))
		return;
	if (!wf_item_may_touch_children(item, is_compensated ? item->seq : timer->seq, timer->kind))
	{
		change_due(timer, wf_now() + RETRY_DELAY_US);
		return;
	}
	if (!delete_timer(timer) || is_over)
		return;

	if (strcmp(timer->kind, "start") == 0)
		begin_visit(item, timer->actor);
	else if (strcmp(timer->kind, "overdue") == 0)
		review_is_overdue(timer);
	else if (is_close)
		wf_item_close_children(timer->item_id, timer->seq);
	else if (is_compensated)
		wf_item_end_compensation(item, strcmp(timer->event, WF_EVENT_COMPENSATED) == 0, timer->actor);
	else if (strcmp(timer->kind, WF_TIMER_SPAWN) == 0)
		wf_item_go_on_spawning(item, timer->actor);
	else
		raise_event(item, timer);
}

static void
fire(void *argument)
{
	const DueTimer *timer = argument;
	WfItem	   *item = wf_item_try_lock(timer->item_id);

	if (item != NULL && (!item->is_paused || strcmp(timer->kind, WF_TIMER_CLOSE) == 0))
		fire_locked(item, timer);
	else if (item == NULL ? !wf_item_drop_lost_timer(timer->item_id) :
			 !wf_item_put_timer_aside(item, timer->seq, timer->kind))
		change_due(timer, wf_now() + RETRY_DELAY_US);
	wf_deferred_fire_steps();
}

static void
put_off(const DueTimer *timer, const ErrorData *error)
{
	static WfPlan plan = {
		.name = "put off timer that could not fire",
		.expected = SPI_OK_UPDATE,
		.nargs = 6,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
		.sql = "UPDATE workflow.timer SET due_at = $4, "
		"error_class = workflow._classify_sqlstate($5), error_message = $6, "
		"workflow = (SELECT i.workflow FROM workflow.item AS i WHERE i.item_id = $1) "
		"WHERE item_id = $1 AND seq = $2 AND kind = $3",
	};
	Datum		values[6];

	values[0] = Int64GetDatum(timer->item_id);
	values[1] = Int32GetDatum(timer->seq);
	values[2] = CStringGetTextDatum(timer->kind);
	values[3] = TimestampTzGetDatum(wf_now() + FAULT_DELAY_US);
	values[4] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[5] = CStringGetTextDatum(error->message);
	wf_plan_execute(&plan, values, NULL);
}

/*
 * Whether others were in the way, and may not be in a moment.
 */
static bool
is_conflict(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TRANSACTION_ROLLBACK ||
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Fires a timer so that whatever its item's move raises (a full queue, a
 * trigger of somebody's) does not hold up the others.  Raises what the server
 * is short of, and a cancel.
 */
static void
fire_alone(DueTimer *timer)
{
	ErrorData  *error = wf_try(fire, timer);

	if (error == NULL)
		return;
	if (is_conflict(error->sqlerrcode))
	{
		change_due(timer, wf_now() + RETRY_DELAY_US);
		return;
	}
	if (wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("timer \"%s\" of item " INT64_FORMAT " could not fire: %s",
					timer->kind, timer->item_id, error->message),
			 errdetail("It is tried again in a minute.")));
	put_off(timer, error);
}

static WfPlan due_plan = {
	.name = "due timers",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql = "SELECT t.item_id, t.seq, t.kind, t.event FROM workflow.timer AS t "
	"WHERE t.due_at >= $3 AND t.due_at <= $1 ORDER BY t.due_at LIMIT $2",
};

static WfPlan own_due_plan = {
	.name = "own due timers",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql = "SELECT t.item_id, t.seq, t.kind, t.event FROM workflow.timer AS t "
	"WHERE t.due_at >= $3 AND t.due_at <= $1 AND workflow._is_own(t.xmin) ORDER BY t.due_at LIMIT $2",
};

static List *
due_timers(WfPlan *plan, int limit, const char *actor)
{
	Datum		values[3];
	List	   *timers = NIL;
	uint64		found;

	values[0] = TimestampTzGetDatum(wf_now());
	values[1] = Int32GetDatum(limit);
	values[2] = TimestampTzGetDatum(wf_timers_from());
	found = wf_plan_execute(plan, values, NULL);
	for (uint64 row = 0; row < found; row++)
	{
		DueTimer   *timer = palloc(sizeof(DueTimer));

		timer->item_id = wf_result_int8(row, 1);
		timer->seq = wf_result_int4(row, 2);
		timer->kind = wf_result_text(row, 3);
		timer->event = wf_result_text(row, 4);
		timer->actor = actor;
		timers = lappend(timers, timer);
	}

	return timers;
}

static int
fire_due(WfPlan *plan, int limit, const char *actor)
{
	List	   *timers = due_timers(plan, limit, actor);
	ListCell   *cell;

	foreach(cell, timers)
		fire_alone(lfirst(cell));

	return list_length(timers);
}

/*
 * Fires the timers that are due.
 */
int
wf_item_fire_timers(int limit, const char *actor)
{
	return fire_due(&due_plan, limit, actor);
}

/*
 * Fires those that the present transaction has set itself.
 */
int
wf_item_fire_own_timers(int limit, const char *actor)
{
	return fire_due(&own_due_plan, limit, actor);
}

/*
 * When the next timer is due; 0 when there is none.
 */
TimestampTz
wf_item_next_timer(void)
{
	static WfPlan plan = {
		.name = "next timer",
		.expected = SPI_OK_SELECT,
		.by_index = true,
		.nargs = 1,
		.argtypes = {TIMESTAMPTZOID},
		.sql = "SELECT t.due_at FROM workflow.timer AS t "
		"WHERE t.due_at >= $1 AND t.due_at < 'infinity' ORDER BY t.due_at LIMIT 1",
	};

	Datum		from = TimestampTzGetDatum(wf_timers_from());

	if (wf_plan_execute(&plan, &from, NULL) == 0)
		return 0;

	return DatumGetTimestampTz(wf_result_datum(0, 1, NULL));
}
