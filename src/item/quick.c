/*
 * quick.c
 *	  An event that moves one item and does nothing else, without its lock.
 *
 * Most events lead from one state without an activity to another.  To lock the row
 * first, and log the lock, to become the owner of the extension, with its search
 * path, and to read the row once more costs as much as the move.  Here the row is
 * found, judged and written: the update itself waits for whoever holds the row, and
 * finds out whether it has changed meanwhile.
 *
 * No statement is run, and nothing of anybody, so nobody's rights are needed.  What
 * asks for more, or is to be refused, is left to event.c, as if nobody had looked.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/table.h"
#include "executor/executor.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* An item and its move. */
typedef struct Quick
{
	WfItem		old;
	WfItem		new;
	WfMove	   *move;
	WfActiveMove route;
	uint64		npauses;		/* that had changed when it was judged */
} Quick;

static WfTable item_table = {"item"};

/*
 * Whether the data say so already, byte for byte: an event comes to the same state
 * again, and most carry nothing.
 */
static bool
has_already(Jsonb *data, const char *key, Jsonb *value)
{
	const JsonbValue *kept = wf_jsonb_get(data, key);

	return kept != NULL && kept->type == jbvBinary &&
		kept->val.binary.len == VARSIZE(value) - VARHDRSZ &&
		memcmp(kept->val.binary.data, &value->root, kept->val.binary.len) == 0;
}

/*
 * The item's data once an event has left the state: what the event carried is
 * kept under the state's name.  NULL: nothing changes.
 */
Jsonb *
wf_item_data_after_event(const WfItem *item, const WfState *state, const WfMove *move)
{
	if (state->result_key == NULL || wf_state_transition(state, move->event) == NULL)
		return NULL;
	if (state->kind != WF_ACTIVITY_NONE && state->kind != WF_ACTIVITY_TASK &&
		state->kind != WF_ACTIVITY_REVIEW &&
		JB_ROOT_IS_OBJECT(move->event_data) && JB_ROOT_COUNT(move->event_data) == 0)
		return NULL;

	return has_already(item->data, state->result_key, move->event_data) ? NULL :
		wf_jsonb_with(item->data, state->result_key, move->event_data);
}

/*
 * Whether the event leads somewhere from that state, and its sender needs no other
 * right than to send.
 */
static bool
leads_on(Quick *quick)
{
	WfActiveMove *route = &quick->route;
	const char *event = quick->move->event;

	if (!wf_item_event_is_sendable(route->from, event) || wf_item_event_takes_right(route->from, event))
		return false;
	route->to = wf_item_target(route->graph, &quick->old, route->from, event);

	return route->to != NULL;
}

/*
 * Judges the row that was found: whether nothing follows from the move but a row of
 * the log.
 */
static bool
judge(Quick *quick, TupleTableSlot *row, const int *expected_seq)
{
	WfItem	   *old = &quick->old;
	WfActiveMove *route = &quick->route;

	quick->npauses = wf_pause_changes();
	route->from = wf_item_known_from_row(row, old, &route->graph);
	if (route->from == NULL || wf_item_active_move(old->item_id) != NULL ||
		(expected_seq != NULL && *expected_seq != old->seq) ||
		old->is_paused || !wf_graph_pause_is_known(route->graph) ||
		wf_graph_is_paused(route->graph) ||
		!wf_item_leaves_quietly(old, route->from, false) || !leads_on(quick))
		return false;
	quick->new = *old;
	quick->new.state = route->to->name;
	wf_item_expected_stamps(old, route->from, route->to, NULL, &quick->new);

	return wf_same_text(old->outcome, quick->new.outcome) &&
		wf_same_text(old->origin, quick->new.origin) &&
		wf_item_enters_quietly(&quick->new, route->to) && wf_item_log_is_plain();
}

static bool
write_row(Quick *quick, Relation table, TupleTableSlot *old_row)
{
	TupleTableSlot *new_row = table_slot_create(table, NULL);
	ItemPointerData place = old_row->tts_tid;
	bool		result;

	quick->route.move = quick->move;
	if (quick->route.from->result_key != NULL)
		quick->old.data = wf_item_data_from_row(old_row);
	quick->move->data = wf_item_data_after_event(&quick->old, quick->route.from, quick->move);
	wf_item_fill_row(new_row, old_row, &quick->route, &quick->new);
	if (quick->move->data == NULL)
		wf_item_splice(old_row, new_row);
	result = !wf_item_concerns_constraints(table, old_row, new_row) &&
		wf_item_write_row(table, &place, new_row);
	ExecDropSingleTupleTableSlot(new_row);

	return result;
}

static void
log_move(const Quick *quick)
{
	const WfActiveMove *route = &quick->route;
	const WfTransition *transition = wf_state_transition(route->from, quick->move->event);
	WfLogTexts	texts = {
		.from = route->from->name_text,.event = transition->event_text,
		.to = route->to->name_text,.kind = CStringGetTextDatum(quick->move->kind),
		.actor = wf_role_text(GetUserId())
	};
	WfLogRow	row = {
		.item = &quick->new,.before = &quick->old,.move = quick->move,.texts = &texts
	};

	wf_item_log_lone(&row);
}

static bool
move_row(Quick *quick, Relation table, int64 item_id, const int *expected_seq)
{
	TupleTableSlot *row = table_slot_create(table, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	bool		result = wf_item_find_row(table, item_id, snapshot, row) &&
	judge(quick, row, expected_seq) && write_row(quick, table, row);

	UnregisterSnapshot(snapshot);
	if (result)
	{
		wf_item_require_running_since(&quick->old, quick->npauses);
		log_move(quick);
	}
	ExecDropSingleTupleTableSlot(row);

	return result;
}

/*
 * Moves an item by an event that was sent; false, and has done nothing, where that
 * is not all there is to do.  expected_seq may be NULL.
 */
bool
wf_item_send_quickly(int64 item_id, const int *expected_seq, WfMove *move, int *seq,
					 const char **state)
{
	Quick		quick = {.move = move};
	Relation	table;
	bool		result;

	if (XactReadOnly || IsolationUsesXactSnapshot())
		return false;
	CommandCounterIncrement();	/* as before a statement */
	table = table_open(wf_table_oid(&item_table), RowExclusiveLock);
	result = wf_item_table_is_ours(table);
	if (result)
	{
		CheckCmdReplicaIdentity(table, CMD_UPDATE);
		result = move_row(&quick, table, item_id, expected_seq);
	}
	table_close(table, NoLock);
	if (result)
		CommandCounterIncrement();
	*seq = quick.new.seq;
	*state = quick.new.state;

	return result;
}
