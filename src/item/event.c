/*
 * event.c
 *	  Events from outside: sent now, kept for later, or refused.
 *
 * An event with an id is a row of workflow.event for ever, so that it moves
 * its item once; one without an id is a row only while it is kept.  What the
 * engine decides cannot be sent: a gate's tiers and a review's decisions.
 * ("ok" and the like can, where the present state declares them, but are never
 * kept for a later state: they would skip its activity.)
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/identity.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

typedef struct Sent
{
	int64		item_id;
	const char *event;
	Jsonb	   *data;
	const char *source;
	const char *event_id;		/* NULL: without an id */
	const char *reason;
	const char *actor;
	bool		by_rule;		/* the event is named by who made the source */
	bool		has_expected_seq;
	int			expected_seq;
} Sent;

static bool
is_engine_event(const char *event)
{
	return strcmp(event, "ok") == 0 || strcmp(event, "error") == 0 ||
		strcmp(event, "timeout") == 0 || strcmp(event, "overdue") == 0;
}

/*
 * Whether the event is a decision of the review that the state asks for.
 */
bool
wf_item_event_is_decision(const WfState *state, const char *event)
{
	Jsonb	   *decisions;
	JsonbValue	name;

	if (state->kind != WF_ACTIVITY_REVIEW)
		return false;
	decisions = wf_jsonb_get_jsonb(state->activity, "decisions");
	name.type = jbvString;
	name.val.string.val = unconstify(char *, event);
	name.val.string.len = strlen(event);

	return decisions != NULL &&
		findJsonbValueFromContainer(&decisions->root, JB_FARRAY, &name) != NULL;
}

/*
 * Whether the event, sent from outside, moves an item out of the state.
 */
bool
wf_item_event_is_sendable(const WfState *state, const char *event)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_FINAL:
		case WF_ACTIVITY_GATE:
		case WF_ACTIVITY_VALIDATE:
		case WF_ACTIVITY_THEN:
			return false;
		default:
			break;
	}
	if (wf_item_event_is_decision(state, event))
		return false;

	return strcmp(event, "cancel") == 0 || wf_state_transition(state, event) != NULL;
}

static bool
keeps(const WfState *state, const char *event)
{
	return wf_item_event_is_sendable(state, event) &&
		strcmp(event, WF_EVENT_COMPENSATED) != 0 &&
		(!is_engine_event(event) || state->kind == WF_ACTIVITY_NONE);
}

/*
 * The names of the states that can still be reached and take the event from
 * outside; none for what answers an exception, which has to be there.
 */
List *
wf_item_states_that_take(const WfGraph *graph, const WfState *from, const char *event)
{
	const bool *reached;
	List	   *names = NIL;

	if (from->kind == WF_ACTIVITY_FINAL || wf_item_event_is_answer(event))
		return NIL;
	reached = wf_graph_reached(graph, from);
	for (int i = 0; i < graph->nstates; i++)
		if (reached[i] && keeps(&graph->states[i], event))
			names = lappend(names, unconstify(char *, graph->states[i].name));

	return names;
}

/*
 * Whether the item has received the event of that id before.
 */
static bool
was_received(const Sent *sent)
{
	static WfPlan plan = {
		.name = "find event by id",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, TEXTOID, TEXTOID},
		.sql = "SELECT 1 FROM workflow.event "
		"WHERE item_id = $1 AND source = $2 AND event_id = $3",
	};
	Datum		values[3];

	if (sent->event_id == NULL)
		return false;
	values[0] = Int64GetDatum(sent->item_id);
	values[1] = CStringGetTextDatum(sent->source);
	values[2] = CStringGetTextDatum(sent->event_id);

	return wf_plan_execute(&plan, values, NULL) > 0;
}

/*
 * Stores the event; seq 0: it is kept.
 */
static void
store_event(const Sent *sent, int seq)
{
	static WfPlan plan = {
		.name = "store event",
		.expected = SPI_OK_INSERT,
		.nargs = 9,
		.argtypes = {INT8OID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, INT4OID},
		.sql = "INSERT INTO workflow.event "
		"(item_id, event, source, event_id, data, actor, reason, received_at, seq) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	};
	Datum		values[9];
	char		nulls[] = "         ";

	values[0] = Int64GetDatum(sent->item_id);
	values[1] = CStringGetTextDatum(sent->event);
	values[2] = wf_text_datum(sent->source);
	nulls[2] = WF_NULL_FLAG(sent->source);
	values[3] = wf_text_datum(sent->event_id);
	nulls[3] = WF_NULL_FLAG(sent->event_id);
	values[4] = JsonbPGetDatum(sent->data);
	values[5] = CStringGetTextDatum(sent->actor);
	values[6] = wf_text_datum(sent->reason);
	nulls[6] = WF_NULL_FLAG(sent->reason);
	values[7] = TimestampTzGetDatum(wf_now());
	values[8] = Int32GetDatum(seq);
	nulls[8] = seq == 0 ? 'n' : ' ';
	wf_plan_execute(&plan, values, nulls);
}

/*
 * From now on the item's moves look for events that were kept.
 */
static void
note_kept(const WfItem *item)
{
	static WfPlan plan = {
		.name = "note kept event",
		.expected = SPI_OK_UPDATE,
		.passes = "item",
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "UPDATE workflow.item SET keeps_events = true WHERE item_id = $1",
	};
	Datum		value = Int64GetDatum(item->item_id);

	if (!item->keeps_events)
		wf_plan_execute(&plan, &value, NULL);
}

static WfMove
move_of(const Sent *sent)
{
	WfMove		move = {0};

	move.event = sent->event;
	move.kind = strcmp(sent->event, "cancel") == 0 ? "cancel" : "send";
	move.actor = sent->actor;
	move.reason = sent->reason;
	move.event_data = sent->data;

	return move;
}

static WfItem *
move_by_event(const WfItem *item, const WfState *state, const Sent *sent)
{
	WfMove		move = move_of(sent);

	move.data = wf_item_data_after_event(item, state, &move);

	return wf_item_move(item, &move);
}

static void
mark_fired(int64 event_no, int seq)
{
	static WfPlan plan = {
		.name = "mark kept event as fired",
		.expected = SPI_OK_UPDATE,
		.passes = "event",
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "UPDATE workflow.event SET seq = $2 WHERE event_no = $1",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(event_no);
	values[1] = Int32GetDatum(seq);
	wf_plan_execute(&plan, values, NULL);
}

static WfItem *
fire_kept(const WfVisit *visit, uint64 row)
{
	Sent		sent = {0};
	int64		event_no = wf_result_int8(row, 1);

	sent.item_id = visit->item->item_id;
	sent.event = wf_result_text(row, 2);
	sent.data = DatumGetJsonbPCopy(wf_result_datum(row, 3, NULL));
	sent.actor = wf_result_text(row, 4);
	sent.reason = wf_result_text(row, 5);
	mark_fired(event_no, visit->item->seq + 1);

	return move_by_event(visit->item, visit->state, &sent);
}

/*
 * Fires the oldest event that was kept for this state; NULL when there is
 * none.
 */
const WfItem *
wf_item_fire_kept_event(const WfVisit *visit)
{
	static WfPlan plan = {
		.name = "kept events",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT event_no, event, data, actor, reason FROM workflow.event "
		"WHERE item_id = $1 AND seq IS NULL ORDER BY event_no",
	};
	Datum		value = Int64GetDatum(visit->item->item_id);
	uint64		found;

	found = wf_plan_execute(&plan, &value, NULL);
	for (uint64 row = 0; row < found; row++)
		if (wf_item_event_is_sendable(visit->state, wf_result_text(row, 2)))
			return fire_kept(visit, row);

	return NULL;
}

static void
require_expected_seq(const WfItem *item, const Sent *sent)
{
	if (sent->has_expected_seq && sent->expected_seq != item->seq)
		ereport(ERROR,
				(errcode(ERRCODE_WF_STALE_SEQ),
				 errmsg("item " INT64_FORMAT " has moved on: expected seq %d, found %d",
						item->item_id, sent->expected_seq, item->seq),
				 errdetail("%s", wf_item_facts(item)),
				 errhint("Read the item again and decide anew.")));
}

/*
 * Raises WF007: only decide() makes a decision.
 */
void
wf_item_refuse_decision(const WfItem *item, const char *event, const char *means)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_NOT_PERMITTED),
			 errmsg("\"%s\" is a decision of a review and cannot be %s", event, means),
			 errdetail("%s", wf_item_facts(item)),
			 errhint("Find the review's id in workflow.review_inbox and use workflow.decide(id, '%s').",
					 event)));
}

static char *
join(List *names)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, names)
		appendStringInfo(&text, "%s%s", text.len == 0 ? "" : ", ", (char *) lfirst(cell));

	return text.data;
}

static void
keep_or_refuse(const WfGraph *graph, const WfItem *item, const WfState *state,
			   const Sent *sent)
{
	List	   *takers;

	if (wf_item_event_is_decision(state, sent->event))
		wf_item_refuse_decision(item, sent->event, "sent");
	takers = wf_item_states_that_take(graph, state, sent->event);
	if (takers == NIL)
		wf_item_refuse_event(item, sent->event);
	store_event(sent, 0);
	note_kept(item);
	ereport(NOTICE,
			(errmsg("event \"%s\" is kept: state \"%s\" does not handle it", sent->event, state->name),
			 errdetail("It fires when the item comes to: %s.", join(takers))));
}

/*
 * Takes an event for a locked item.  Returns the item afterwards.
 */
static const WfItem *
take_event(const WfItem *item, const Sent *sent)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);

	if (!sent->by_rule)
		wf_item_require_right(item, state, sent->event, sent->actor);
	require_expected_seq(item, sent);
	wf_item_require_running(item);
	if (!wf_item_event_is_sendable(state, sent->event))
	{
		keep_or_refuse(graph, item, state, sent);
		return item;
	}
	wf_item_require_known_outcome(item, state, sent->event);
	if (sent->event_id != NULL)
		store_event(sent, item->seq + 1);

	return move_by_event(item, state, sent);
}

static Sent
sent_from_arguments(FunctionCallInfo fcinfo)
{
	Sent		sent = {0};

	sent.event = wf_argument_text(fcinfo, 1, "event");
	sent.data = PG_ARGISNULL(2) ? wf_jsonb_empty_object() : PG_GETARG_JSONB_P(2);
	sent.source = wf_optional_name(fcinfo, 3, "source");
	sent.event_id = wf_optional_name(fcinfo, 4, "event_id");
	if (sent.event_id != NULL && sent.source == NULL)
		sent.source = "";
	sent.has_expected_seq = !PG_ARGISNULL(5);
	sent.expected_seq = sent.has_expected_seq ? PG_GETARG_INT32(5) : 0;
	sent.reason = wf_optional_text(fcinfo, 6);
	sent.actor = wf_role_name(GetUserId());

	return sent;
}

/*
 * Takes the event, unless the item has it already, and makes the row
 * (seq, state, duplicate) for SQL.
 */
static Datum
receive(FunctionCallInfo fcinfo, const Sent *sent)
{
	const WfItem *item = wf_item_lock(sent->item_id);
	bool		duplicate = was_received(sent);
	Datum		values[3];

	if (!duplicate)
		item = take_event(item, sent);
	values[0] = Int32GetDatum(item->seq);
	values[1] = CStringGetTextDatum(item->state);
	values[2] = BoolGetDatum(duplicate);

	return wf_return_row(fcinfo, 3, values);
}

/*
 * The same where nothing follows from it but a row of the log; false, and has done
 * nothing, where there is more to do.
 */
static bool
receive_quickly(FunctionCallInfo fcinfo, const Sent *sent, Datum *result)
{
	WfMove		move = move_of(sent);
	int			seq;
	const char *state;
	Datum		values[3];

	wf_require_argument(fcinfo, 0, "item");
	if (sent->event_id != NULL ||
		!wf_item_send_quickly(PG_GETARG_INT64(0), sent->has_expected_seq ? &sent->expected_seq : NULL,
							  &move, &seq, &state))
		return false;
	values[0] = Int32GetDatum(seq);
	values[1] = CStringGetTextDatum(state);
	values[2] = BoolGetDatum(false);
	*result = wf_row_datum(fcinfo, 3, values);

	return true;
}

/*
 * send(item, event, data, source, event_id, expected_seq, reason)
 * returns (seq, state, duplicate)
 *
 * Fires an event, or keeps it until its state is reached.
 */
static Datum
send(FunctionCallInfo fcinfo, bool by_key)
{
	Sent		sent = sent_from_arguments(fcinfo);
	WfCaller	caller;
	Datum		result;

	if (!by_key && receive_quickly(fcinfo, &sent, &result))
		return result;
	wf_enter_owner(&caller);
	SPI_connect();
	sent.item_id = wf_argument_item(fcinfo, by_key);
	result = receive(fcinfo, &sent);
	SPI_finish();
	wf_leave_owner(&caller);

	return result;
}

WF_PUBLIC_FUNCTION(wf_send)
{
	return send(fcinfo, false);
}

WF_PUBLIC_FUNCTION(wf_send_by_key)
{
	return send(fcinfo, true);
}

PG_FUNCTION_INFO_V1(wf_inner_send);

/*
 * _send_as(caller, item, event, data, source, event_id, by_rule)
 * returns (seq, state, duplicate)
 */
Datum
wf_inner_send(PG_FUNCTION_ARGS)
{
	Sent		sent = {0};
	Datum		result;

	sent.actor = wf_argument_text(fcinfo, 0, "caller");
	wf_require_argument(fcinfo, 1, "item");
	sent.item_id = PG_GETARG_INT64(1);
	sent.event = wf_argument_text(fcinfo, 2, "event");
	sent.data = PG_ARGISNULL(3) ? wf_jsonb_empty_object() : PG_GETARG_JSONB_P(3);
	sent.source = wf_argument_text(fcinfo, 4, "source");
	sent.event_id = wf_argument_text(fcinfo, 5, "event_id");
	sent.by_rule = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);

	SPI_connect();
	result = receive(fcinfo, &sent);
	SPI_finish();

	return result;
}
