/*
 * spawn_close.c
 *	  Leaving a state with children that live: they are cancelled.
 *
 * Why and by whom stands in the row of workflow.spawn, so that a large family
 * is closed in many transactions, by a timer of the parent (WF_TIMER_CLOSE).
 * Children are tried and not waited for: one that somebody holds is remembered
 * and tried again, and so is one whose cancellation raises.  What cancel does to
 * a child whose effect is under way it does here, too.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "base/try.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Children that are cancelled in one go. */
#define CLOSE_LIMIT 50

/* How soon those are tried again that could not be. */
#define HELD_US		INT64CONST(1000000)
#define REFUSED_US	INT64CONST(60000000)

/* Whether children are being cancelled further up in the stack. */
static bool closing = false;

/* Cancelling the children of a visit, some of them. */
typedef struct Closing
{
	int64		item_id;
	int			seq;
	const char *actor;
	const char *reason;
	int			closed_to;		/* place in the array */
	List	   *children;		/* of Child *, to be cancelled now */
	bool		has_more;		/* behind these */
	bool		has_refused;
} Closing;

typedef struct Child
{
	const Closing *closing;
	int64		item_id;
	bool		is_held;		/* or refuses: it is tried again */
	bool		is_cancelled;	/* by us */
} Child;

/* -------------------------------------------------------------- leaving */

static char *
reason_of(const WfItem *item, const WfMove *move)
{
	if (strcmp(move->event, "cancel") == 0)
		return pstrdup("parent cancelled");
	if (strcmp(move->kind, "engine") == 0 && strcmp(move->event, "ok") == 0)
		return pstrdup("enough siblings have succeeded");
	if (strcmp(move->kind, "engine") == 0 && strcmp(move->event, "error") == 0)
		return pstrdup("too many siblings have failed");

	return psprintf("parent left \"%s\" by \"%s\"", item->state, move->event);
}

/*
 * Notes that a visit is over.  Returns whether children of it may live.
 */
static bool
note_left(const WfItem *item, const WfMove *move)
{
	static WfPlan plan = {
		.name = "leave spawn",
		.expected = SPI_OK_UPDATE_RETURNING,
		.nargs = 5,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
		.sql = "UPDATE workflow.spawn SET left_at = $3, close_actor = $4, close_reason = $5, children = NULL "
		"WHERE item_id = $1 AND seq = $2 RETURNING started > ended",
	};
	Datum		values[5];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = TimestampTzGetDatum(wf_now());
	values[3] = CStringGetTextDatum(move->actor);
	values[4] = CStringGetTextDatum(reason_of(item, move));

	return wf_plan_execute(&plan, values, NULL) > 0 && DatumGetBool(wf_result_datum(0, 1, NULL));
}

/*
 * The visit of a spawn state ends; item is as it was in it.  A small family is
 * closed with it, the rest by the timer; so are children's children.
 */
void
wf_item_leave_children(const WfItem *item, const WfMove *move)
{
	if (!note_left(item, move))
		return;
	if (closing)
		wf_item_set_timer_of(item->item_id, item->seq, WF_TIMER_CLOSE, wf_spawn_now(), "cancel");
	else
		wf_item_close_children(item->item_id, item->seq);
}

/* ---------------------------------------------------------- who is to go */

/*
 * Locks the row and reads how far it is; false when the state was not left.
 */
static bool
read_row(Closing *this)
{
	static WfPlan plan = {
		.name = "read closing",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT close_actor, close_reason, closed_to FROM workflow.spawn "
		"WHERE item_id = $1 AND seq = $2 AND left_at IS NOT NULL FOR UPDATE",
	};
	Datum		values[2] = {Int64GetDatum(this->item_id), Int32GetDatum(this->seq)};

	if (wf_plan_execute(&plan, values, NULL) == 0)
		return false;
	this->actor = wf_result_text(0, 1);
	this->reason = wf_result_text(0, 2);
	this->closed_to = wf_result_int4(0, 3);

	return true;
}

static void
add_found(Closing *this, uint64 found)
{
	for (uint64 row = 0; row < found; row++)
	{
		Child	   *child = palloc0(sizeof(Child));

		child->closing = this;
		child->item_id = wf_result_int8(row, 1);
		this->children = lappend(this->children, child);
	}
}

static void
find_next(Closing *this)
{
	static WfPlan plan = {
		.name = "living children",
		.expected = SPI_OK_SELECT,
		.by_index = true,
		.nargs = 4,
		.argtypes = {INT8OID, INT4OID, INT4OID, INT4OID},
		.sql = "SELECT item_id, parent_index FROM workflow.item "
		"WHERE parent_id = $1 AND parent_seq = $2 AND parent_index > $3 AND outcome IS NULL "
		"ORDER BY parent_id, parent_seq, parent_index LIMIT $4",
	};
	Datum		values[4];
	uint64		found;

	values[0] = Int64GetDatum(this->item_id);
	values[1] = Int32GetDatum(this->seq);
	values[2] = Int32GetDatum(this->closed_to);
	values[3] = Int32GetDatum(CLOSE_LIMIT);
	found = wf_plan_execute(&plan, values, NULL);
	this->has_more = found == CLOSE_LIMIT;
	if (found > 0)
		this->closed_to = wf_result_int4(found - 1, 2);
	add_found(this, found);
}

/*
 * Those that somebody held, when there are no others.
 */
static void
find_unclosed(Closing *this)
{
	static WfPlan plan = {
		.name = "children that were held",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, INT4OID},
		.sql = "SELECT i.item_id FROM workflow.spawn AS s, unnest(s.unclosed) AS u (id) "
		"JOIN workflow.item AS i ON i.item_id = u.id "
		"WHERE s.item_id = $1 AND s.seq = $2 AND i.outcome IS NULL ORDER BY i.item_id LIMIT $3",
	};
	Datum		values[3];

	values[0] = Int64GetDatum(this->item_id);
	values[1] = Int32GetDatum(this->seq);
	values[2] = Int32GetDatum(CLOSE_LIMIT);
	add_found(this, wf_plan_execute(&plan, values, NULL));
}

/* ----------------------------------------------------------- cancelling */

static void
cancel_child(void *argument)
{
	Child	   *child = argument;
	WfItem	   *item = wf_item_try_lock(child->item_id);
	WfMove		move = {.event = "cancel",.kind = "cancel"};

	child->is_held = item == NULL;
	if (item == NULL || item->outcome != NULL)
		return;
	move.actor = child->closing->actor;
	move.reason = child->closing->reason;
	(void) wf_item_move(item, &move);
	child->is_cancelled = true;
}

/*
 * One that raises (a trigger of somebody's) keeps neither the parent nor its
 * siblings.
 */
static void
try_to_cancel(Closing *this, Child *child)
{
	ErrorData  *error = wf_try(cancel_child, child);

	if (error == NULL)
		return;
	child->is_cancelled = false;
	child->is_held = true;
	if (wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	this->has_refused = true;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("child " INT64_FORMAT " of item " INT64_FORMAT " could not be cancelled: %s",
					child->item_id, this->item_id, error->message),
			 errdetail("It is tried again in a minute.")));
}

static void
cancel_each(Closing *this)
{
	ListCell   *cell;

	closing = true;
	PG_TRY();
	{
		foreach(cell, this->children)
			try_to_cancel(this, lfirst(cell));
	}
	PG_FINALLY();
	{
		closing = false;
	}
	PG_END_TRY();
}

/* --------------------------------------------------------------- what is left */

static Datum
ids_of(const Closing *this, bool cancelled)
{
	ArrayBuildState *ids = initArrayResult(INT8OID, CurrentMemoryContext, false);
	ListCell   *cell;

	foreach(cell, this->children)
	{
		Child	   *child = lfirst(cell);

		if (cancelled ? child->is_cancelled : child->is_held)
			ids = accumArrayResult(ids, Int64GetDatum(child->item_id), false, INT8OID,
								   CurrentMemoryContext);
	}

	return makeArrayResult(ids, CurrentMemoryContext);
}

/*
 * Stores how far it is.  Returns whether somebody holds one that lives.
 */
static bool
store(const Closing *this)
{
	static WfPlan plan = {
		.name = "store closing",
		.expected = SPI_OK_UPDATE_RETURNING,
		.nargs = 5,
		.argtypes = {INT8OID, INT4OID, INT4OID, INT8ARRAYOID, INT8ARRAYOID},
		.sql = "UPDATE workflow.spawn AS s SET closed_to = $3, ncancelled = s.ncancelled + cardinality($5), "
		"unclosed = ARRAY(SELECT i.item_id FROM (SELECT unnest(s.unclosed) UNION SELECT unnest($4)) AS u (id) "
		"JOIN workflow.item AS i ON i.item_id = u.id WHERE i.outcome IS NULL AND u.id <> ALL ($5) ORDER BY 1) "
		"WHERE s.item_id = $1 AND s.seq = $2 RETURNING cardinality(s.unclosed) > 0",
	};
	Datum		values[5];

	values[0] = Int64GetDatum(this->item_id);
	values[1] = Int32GetDatum(this->seq);
	values[2] = Int32GetDatum(this->closed_to);
	values[3] = ids_of(this, false);
	values[4] = ids_of(this, true);
	wf_plan_execute(&plan, values, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

/*
 * Cancels children of a visit that is over, as many as are done in one go; a
 * timer sees to the rest.
 */
void
wf_item_close_children(int64 item_id, int seq)
{
	Closing		this = {.item_id = item_id,.seq = seq};
	bool		has_held;

	if (!read_row(&this))
		return;
	find_next(&this);
	if (!this.has_more)
		find_unclosed(&this);
	cancel_each(&this);
	has_held = store(&this);
	if (this.has_more)
		wf_item_set_timer_of(item_id, seq, WF_TIMER_CLOSE, wf_spawn_now(), "cancel");
	else if (has_held)
		wf_item_set_timer_of(item_id, seq, WF_TIMER_CLOSE,
							 wf_spawn_now() + (this.has_refused ? REFUSED_US : HELD_US), "cancel");
}
