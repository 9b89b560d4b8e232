/*
 * move.c
 *	  Moving an item along a transition of its definition.
 *
 * wf_item_move() updates the row; the triggers (trigger.c) stamp, judge, log
 * and enter the new state.  What the row cannot say (the event, who and why)
 * travels to the triggers in a value of this file, which names the one item
 * and is taken once.  An UPDATE that finds no such value is a direct one.
 */
#include "postgres.h"

#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/suggest.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan move_plan = {
	.name = "move item",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.sql = "UPDATE workflow.item SET state = $2 WHERE item_id = $1",
};

static WfPlan move_with_data_plan = {
	.name = "move item with data",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, JSONBOID},
	.sql = "UPDATE workflow.item SET state = $2, data = $3 WHERE item_id = $1",
};

static WfPlan migrate_plan = {
	.name = "migrate item",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, INT4OID},
	.sql = "UPDATE workflow.item SET state = $2, version = $3 WHERE item_id = $1",
};

static WfActiveMove *active = NULL;

/*
 * Returns the move of that item that is under way in this session, or NULL.
 */
WfActiveMove *
wf_item_active_move(int64 item_id)
{
	return active != NULL && active->item->item_id == item_id ? active : NULL;
}

/*
 * "item 7 (crm:42) of version 3 is in state "A" since ...": for DETAIL.
 */
char *
wf_item_facts(const WfItem *item)
{
	return psprintf("Item " INT64_FORMAT " (%s:%s) of version %d is in state \"%s\" since %s.",
					item->item_id, item->workflow, item->key, item->version,
					item->state, timestamptz_to_str(item->since));
}

/*
 * The names of the events that a state handles, its own before those of "any";
 * cancel() works in every state that is not final.
 */
List *
wf_item_allowed_events(const WfState *state)
{
	List	   *events = NIL;

	for (int i = 0; i < state->ntransitions; i++)
		events = lappend(events, unconstify(char *, state->transitions[i].event));
	if (state->kind != WF_ACTIVITY_FINAL && wf_state_transition(state, "cancel") == NULL)
		events = lappend(events, "cancel");

	return events;
}

static void
append_names(StringInfo text, const char *intro, const WfState *state, List *events, bool decisions)
{
	int			start = text->len;
	ListCell   *cell;

	foreach(cell, events)
	{
		if (wf_item_event_is_decision(state, lfirst(cell)) == decisions)
			appendStringInfo(text, "%s%s", text->len == start ? intro : ", ", (char *) lfirst(cell));
	}
	if (text->len > start)
		appendStringInfoChar(text, '.');
}

/*
 * Those that are accepted now, for HINT: what is decided apart from what can be sent.
 */
char *
wf_item_allowed_hint(const WfItem *item)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);
	List	   *events = wf_item_accepted_events(item);
	StringInfoData hint;

	if (state->kind == WF_ACTIVITY_FINAL)
		return psprintf("State \"%s\" is final: nothing leads out of it.", state->name);
	initStringInfo(&hint);
	append_names(&hint, "Allowed events: ", state, events, false);
	append_names(&hint, " Decisions, by workflow.decide(): ", state, events, true);

	return hint.data;
}

/*
 * The event that may have been meant, for the beginning of a HINT.
 */
static char *
nearest_event(const WfItem *item, const char *event)
{
	List	   *events = wf_item_accepted_events(item);
	const char **names = palloc(sizeof(char *) * (list_length(events) + 1));
	int			n = 0;
	ListCell   *cell;
	char	   *nearest;

	foreach(cell, events)
		names[n++] = lfirst(cell);
	nearest = wf_did_you_mean(event, names, n);

	return nearest == NULL ? "" : psprintf("D%s ", nearest + 1);
}

/*
 * Raises WF001: the item's state does not handle the event.
 */
void
wf_item_refuse_event(const WfItem *item, const char *event)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_NO_TRANSITION),
			 errmsg("no transition leads from \"%s\" by event \"%s\"", item->state, event),
			 errdetail("%s", wf_item_facts(item)),
			 errhint("%s%s", nearest_event(item, event), wf_item_allowed_hint(item))));
}

/*
 * Returns a state of the graph that an item is in.
 */
const WfState *
wf_item_state(const WfGraph *graph, const char *name)
{
	const WfState *state = wf_graph_state(graph, name);

	if (state == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WF_UNKNOWN),
				 errmsg("workflow \"%s\" version %d has no state \"%s\"",
						graph->workflow, graph->version, name),
				 errdetail("The item was put there while triggers were off."),
				 errhint("SELECT * FROM workflow.verify(item) tells how the item came there.")));

	return state;
}

/*
 * The state that an event leads to; NULL when it is not handled.  Every state
 * that is not final handles "cancel", if only by the built-in CANCELLED.
 */
const WfState *
wf_item_target(const WfGraph *graph, const WfItem *item,
			   const WfState *from, const char *event)
{
	const WfTransition *transition = wf_state_transition(from, event);

	if (transition == NULL)
		return strcmp(event, "cancel") == 0 && from->kind != WF_ACTIVITY_FINAL ?
			wf_graph_state(graph, WF_STATE_CANCELLED) : NULL;
	if (transition->to != WF_TO_ORIGIN)
		return &graph->states[transition->to];

	return item->origin == NULL ? NULL : wf_graph_state(graph, item->origin);
}

static void
update_row(WfActiveMove *mine)
{
	const WfMove *move = mine->move;
	Datum		values[3];
	uint64		updated;

	values[0] = Int64GetDatum(mine->item->item_id);
	values[1] = CStringGetTextDatum(mine->to->name);
	if (mine->migration != NULL)
	{
		values[2] = Int32GetDatum(mine->migration->to_version);
		updated = wf_plan_execute(&migrate_plan, values, NULL);
	}
	else if (move->data == NULL)
		updated = wf_plan_execute(&move_plan, values, NULL);
	else
	{
		values[2] = JsonbPGetDatum(move->data);
		updated = wf_plan_execute(&move_with_data_plan, values, NULL);
	}

	if (updated != 1 || !mine->judged)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the move of item " INT64_FORMAT " was not logged",
						mine->item->item_id),
				 errdetail("The triggers of workflow.item did not fire, or another trigger suppressed the update."),
				 errhint("Set session_replication_role to origin, and enable the triggers of workflow.item.")));
}

/*
 * Lets the triggers see the move while the row is updated, and only then.
 */
void
wf_item_update_as(WfActiveMove *mine)
{
	WfActiveMove *previous = active;

	active = mine;
	PG_TRY();
	{
		update_row(mine);
	}
	PG_FINALLY();
	{
		active = previous;
	}
	PG_END_TRY();
}

/*
 * Moves a locked item; job_is_gone says that the job of the visit has been
 * finished already, so that leaving need not look for it.
 */
WfItem *
wf_item_move_on(const WfItem *item, const WfMove *move, bool job_is_gone)
{
	WfActiveMove mine = {0};
	WfItem	   *moved;

	mine.item = item;
	mine.move = move;
	mine.job_is_gone = job_is_gone;
	mine.context = CurrentMemoryContext;
	mine.graph = wf_graph(item->workflow, item->version);
	mine.from = wf_item_state(mine.graph, item->state);
	mine.to = wf_item_target(mine.graph, item, mine.from, move->event);
	if (mine.to == NULL)
		wf_item_refuse_event(item, move->event);
	moved = wf_item_move_row(&mine);
	if (moved != NULL)
	{
		moved->is_paused = item->is_paused;
		return unconstify(WfItem *, wf_item_carry_out(item, moved, &mine));
	}
	wf_item_update_as(&mine);

	return mine.result;
}

/*
 * Moves a locked item along the transition of the event, and on through what
 * follows at once.
 */
WfItem *
wf_item_move(const WfItem *item, const WfMove *move)
{
	return wf_item_move_on(item, move, false);
}
