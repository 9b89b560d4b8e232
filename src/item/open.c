/*
 * open.c
 *	  What an item may not do while the outcome of its action is open.
 *
 * An action that is being begun, is under way, or of which nobody knows what it
 * came to is not passed by: the ledger would lose it.  Nor is one that is known
 * and about to move the item.  So neither its outcome is told by others, nor
 * does the state's timeout come before it, whether the timer raises that or
 * somebody does.  Any other event of the state, and cancel, are decisions.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/timestamp.h"

typedef struct OpenEffect
{
	int64		effect_id;
	const char *state;
	bool		is_guards;		/* of a task: its worker tells of it */
} OpenEffect;

#define EFFECT_OF_VISIT \
	"SELECT e.effect_id, e.state, " \
	"e.state IN ('claimed', 'sending', 'unknown', 'held') " \
	"OR e.state = 'pending' AND e.unknown_attempts > 0 " \
	"OR e.state IN ('succeeded', 'failed', 'dead', 'cancelled') " \
	"AND (j.status = 'running' OR j.status = 'waiting' AND j.waiting_on = 'effect') " \
	"FROM workflow.job AS j JOIN workflow.effect AS e ON e.effect_id = j.effect_id " \
	"WHERE j.item_id = $1 AND j.seq = $2 "

static WfPlan read_plan = {
	.name = "read effect of visit",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = EFFECT_OF_VISIT,
};

/* Whoever begins the effect holds both: what is seen then does not change. */
static WfPlan lock_plan = {
	.name = "lock effect of visit",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = EFFECT_OF_VISIT "FOR UPDATE OF j, e",
};

static bool
find_in_job(WfPlan *plan, int64 item_id, int seq, OpenEffect *open)
{
	Datum		values[2] = {Int64GetDatum(item_id), Int32GetDatum(seq)};
	uint64		found = wf_plan_execute(plan, values, NULL);

	for (uint64 row = 0; row < found; row++)
	{
		if (!DatumGetBool(wf_result_datum(row, 3, NULL)))
			continue;
		open->effect_id = wf_result_int8(row, 1);
		open->state = wf_result_text(row, 2);
		return true;
	}

	return false;
}

/*
 * A guard that is known to be applied moves nothing by itself: whoever works on
 * the task is about to say so.
 */
static WfPlan guard_plan = {
	.name = "open guard of visit",
	.expected = SPI_OK_SELECT,
	.nargs = 3,
	.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
	.sql = "SELECT e.effect_id, e.state FROM workflow.effect AS e "
	"WHERE e.item_id = $1 AND e.kind = 'guard' AND e.sending_at >= $3 "
	"AND (workflow._is_open(e) OR e.state = 'succeeded' AND EXISTS ("
	"SELECT FROM workflow.job AS j WHERE j.item_id = $1 AND j.seq = $2 AND j.status = 'running')) "
	"ORDER BY e.state = 'succeeded', e.effect_id LIMIT 1",
};

static bool
find_guard(const WfItem *item, OpenEffect *open)
{
	Datum		values[3] = {
		Int64GetDatum(item->item_id), Int32GetDatum(item->seq), TimestampTzGetDatum(item->since)
	};

	if (wf_plan_execute(&guard_plan, values, NULL) == 0)
		return false;
	open->effect_id = wf_result_int8(0, 1);
	open->state = wf_result_text(0, 2);
	open->is_guards = true;

	return true;
}

static bool
find_open(WfPlan *plan, const WfItem *item, const WfState *state, OpenEffect *open)
{
	if (state->kind == WF_ACTIVITY_HTTP || state->kind == WF_ACTIVITY_MODEL)
		return find_in_job(plan, item->item_id, item->seq, open);

	return state->kind == WF_ACTIVITY_TASK && find_guard(item, open);
}

static bool
is_timeout(const WfState *state, const char *event)
{
	return strcmp(event, "timeout") == 0 ||
		(state->timeout_us > 0 && strcmp(event, state->timeout_event) == 0);
}

static bool
is_known(const OpenEffect *open)
{
	return strcmp(open->state, "succeeded") == 0;
}

/*
 * Whether the event has to wait for the outcome.  What its worker may be about to
 * tell by complete() it may tell by send(), too.
 */
static bool
waits_for(const OpenEffect *open, const WfState *state, const char *event)
{
	if (is_timeout(state, event))
		return true;

	return wf_item_event_is_outcome(state, event) && !(open->is_guards && is_known(open));
}

/*
 * How the visit's action stands in the way of the state's timeout.
 */
WfOpen
wf_item_visit_is_open(const WfItem *item)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	OpenEffect	open = {0};

	if (!find_open(&read_plan, item, wf_item_state(graph, item->state), &open))
		return WF_OPEN_NOT;

	return open.is_guards && is_known(&open) ? WF_OPEN_SHORTLY : WF_OPEN;
}

static char *
what_to_do(const OpenEffect *open)
{
	if (open->is_guards && is_known(open))
		return pstrdup("Its worker tells so by workflow.complete(), or its lease ends.");
	if (open->is_guards && strcmp(open->state, "sending") == 0)
		return psprintf("Its worker tells by workflow.finish_effect(" INT64_FORMAT ", token, outcome).",
						open->effect_id);
	if (open->is_guards)
		return psprintf("SELECT workflow.resolve(" INT64_FORMAT ", 'applied', 'how you know'); "
						"or 'not_applied' says what became of it.", open->effect_id);
	if (strcmp(open->state, "unknown") == 0 || strcmp(open->state, "held") == 0 ||
		strcmp(open->state, "pending") == 0)
		return psprintf("SELECT workflow.resolve(" INT64_FORMAT ", 'applied', 'how you know'); "
						"or 'not_applied' moves the item on.", open->effect_id);
	if (strcmp(open->state, "claimed") == 0 || strcmp(open->state, "sending") == 0)
		return psprintf("It ends in a while. Once it is unknown or held, SELECT workflow.resolve(" INT64_FORMAT
						", 'applied', 'how you know'); or 'not_applied' moves the item on.",
						open->effect_id);

	return psprintf("SELECT * FROM workflow.where_is(" INT64_FORMAT "); the item moves by it in a moment.",
					open->effect_id);
}

/*
 * Raises 55000 when the event would pass by an action of the locked item whose
 * outcome is open.
 */
void
wf_item_require_known_outcome(const WfItem *item, const WfState *state, const char *event)
{
	OpenEffect	open = {0};

	if (!waits_for(&open, state, event) || !find_open(&lock_plan, item, state, &open) ||
		!waits_for(&open, state, event))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 wf_item_event_is_outcome(state, event) ?
			 errmsg("effect " INT64_FORMAT " of item " INT64_FORMAT " is %s: its outcome is not sent",
					open.effect_id, item->item_id, open.state) :
			 errmsg("effect " INT64_FORMAT " of item " INT64_FORMAT " is %s: the state's timeout waits for its outcome",
					open.effect_id, item->item_id, open.state),
			 errdetail("The ledger would not know what became of it."),
			 errhint("%s", what_to_do(&open))));
}

/*
 * Those of the events that the item's state handles which pass now; decisions
 * are among them.
 */
List *
wf_item_accepted_events(const WfItem *item)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);
	OpenEffect	open = {0};
	bool		is_open = find_open(&read_plan, item, state, &open);
	List	   *accepted = NIL;
	ListCell   *cell;

	foreach(cell, wf_item_allowed_events(state))
	{
		char	   *event = lfirst(cell);

		if (wf_item_target(graph, item, state, event) != NULL &&
			!(is_open && waits_for(&open, state, event)))
			accepted = lappend(accepted, event);
	}

	return accepted;
}
