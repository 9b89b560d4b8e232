/*
 * trigger.c
 *	  The triggers of workflow.item: whoever writes, only declared transitions
 *	  pass.
 *
 * BEFORE UPDATE stamps what follows from a change of state: seq, since,
 * outcome, origin.  AFTER UPDATE judges the row as it was stored (another
 * trigger may have changed it in between), leaves the old state, logs, and
 * enters the new one.  INSERTs are never judged: a restore brings rows as they
 * were.  The names of the triggers sort last among BEFORE triggers and first
 * among AFTER triggers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/sqlstate.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Both sides of an update of an item. */
typedef struct Change
{
	WfItem	   *old;
	WfItem	   *new;
	bool		only_moved;		/* they differ in state, since and seq at most */
} Change;

bool
wf_item_is_own_trigger(const char *name)
{
	return strcmp(name, "~workflow_stamp") == 0 || strcmp(name, " workflow_judge") == 0;
}

static TriggerData *
require_update_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a row trigger on UPDATE of workflow.item"),
				 errdetail("It judges moves of items."),
				 errhint("Drop the trigger that calls it; workflow.item has its own.")));

	return trigger;
}

static Change
read_change(const TriggerData *trigger)
{
	WfItemBefore before;
	Change		change;

	change.only_moved = wf_item_is_only_moved(trigger, &before);
	if (change.only_moved)
	{
		change.new = wf_item_brief_from_row(trigger->tg_newslot);
		change.old = wf_item_before(change.new, &before);
	}
	else
	{
		change.old = wf_item_from_row(trigger->tg_trigslot, NULL, NULL);
		change.new = wf_item_from_row(trigger->tg_newslot, trigger->tg_trigslot, change.old);
	}

	return change;
}

/*
 * Reads what a row that is only moved was not asked for yet.
 */
static void
complete(const TriggerData *trigger, Change *change)
{
	if (!change->only_moved || change->new->key != NULL)
		return;
	wf_item_complete_from_row(trigger->tg_newslot, change->new);
	change->old->key = change->new->key;
	change->old->submitted_by = change->new->submitted_by;
}

/*
 * Refuses a change of what only a transition sets.
 */
static void
require_untouched_stamps(const TriggerData *trigger, Change *change)
{
	const char *touched = NULL;

	if (change->old->seq != change->new->seq)
		touched = "seq";
	else if (change->old->since != change->new->since)
		touched = "since";
	else if (!wf_same_text(change->old->outcome, change->new->outcome))
		touched = "outcome";
	else if (!wf_same_text(change->old->origin, change->new->origin))
		touched = "origin";
	if (touched == NULL)
		return;
	complete(trigger, change);
	wf_item_refuse_hand_change(change->old, touched);
}

/*
 * The move of the engine that waits for this update, or NULL.
 */
static WfActiveMove *
pending_move(const Change *change)
{
	WfActiveMove *active = wf_item_active_move(change->old->item_id);

	if (active == NULL || active->judged || active->item->seq != change->old->seq)
		return NULL;

	return active;
}

/*
 * Whether the update goes where the move leads; if not, another trigger has
 * diverted it, and it counts as a direct one.
 */
static bool
carries_out(const Change *change, const WfActiveMove *active)
{
	return active != NULL && strcmp(active->to->name, change->new->state) == 0 &&
		(active->migration == NULL || active->migration->to_version == change->new->version);
}

PG_FUNCTION_INFO_V1(wf_item_stamp);

/*
 * BEFORE UPDATE: sets what follows from a change of state.  A target that is
 * unknown or illegal is left to the judgement of the AFTER trigger.
 */
Datum
wf_item_stamp(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = require_update_trigger(fcinfo);
	Change		change = read_change(trigger);
	WfActiveMove *active = pending_move(&change);
	const WfState *from;
	const WfState *to;
	WfItem		stamps = {0};

	if (change.new->state == NULL)
		return PointerGetDatum(trigger->tg_newtuple);	/* NOT NULL refuses it */
	require_untouched_stamps(trigger, &change);
	if (!carries_out(&change, active))
		active = NULL;
	if (active == NULL && strcmp(change.old->state, change.new->state) == 0)
		return PointerGetDatum(trigger->tg_newtuple);

	if (active != NULL)
	{
		from = active->from;
		to = active->to;
	}
	else
	{
		const WfGraph *graph = wf_item_graph_as_owner(change.old);

		from = wf_graph_state(graph, change.old->state);
		to = wf_graph_state(graph, change.new->state);
		if (from == NULL || to == NULL)
			return PointerGetDatum(trigger->tg_newtuple);
	}
	wf_item_expected_stamps(change.old, from, to, active == NULL ? NULL : active->migration, &stamps);
	if (wf_same_text(change.new->outcome, stamps.outcome) &&
		wf_same_text(change.new->origin, stamps.origin) &&
		wf_item_stamp_in_place(trigger, stamps.seq, stamps.since))
		return PointerGetDatum(trigger->tg_newtuple);

	return PointerGetDatum(wf_item_stamped(trigger, &stamps));
}

static bool
has_stamps(const Change *change, const WfState *from, const WfState *to)
{
	WfItem		stamps = {0};

	wf_item_expected_marks(change->old, from, to, NULL, &stamps);

	return change->new->seq == stamps.seq &&
		wf_same_text(change->new->outcome, stamps.outcome) &&
		wf_same_text(change->new->origin, stamps.origin);
}

static void
require_stamps(const Change *change, const WfActiveMove *move)
{
	WfItem		stamps = {0};

	wf_item_expected_marks(change->old, move->from, move->to, move->migration, &stamps);
	if (change->new->seq != stamps.seq)
		wf_item_refuse_hand_change(change->old, "seq");
	if (!wf_same_text(change->new->outcome, stamps.outcome))
		wf_item_refuse_hand_change(change->old, "outcome");
	if (!wf_same_text(change->new->origin, stamps.origin))
		wf_item_refuse_hand_change(change->old, "origin");
}

/*
 * Whether the row has been updated again, by a trigger, since it was stored.
 */
bool
wf_row_is_superseded(HeapTuple row)
{
	HeapTupleHeader header = row->t_data;

	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;

	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

/*
 * Refuses to enter a visit that is over already: its job would be nobody's.
 */
static void
require_present_visit(const TriggerData *trigger, const Change *change)
{
	const WfItem *new = change->new;

	if (wf_row_is_superseded(trigger->tg_newtuple) && wf_item_read(new->item_id)->seq != new->seq)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("item " INT64_FORMAT " was moved on before its move to \"%s\" was logged",
						new->item_id, new->state),
				 errdetail("It was moved by a function in RETURNING, or by a trigger that fired before \" workflow_judge\" of its row."),
				 errhint("Move items on after the statement, and give triggers of workflow.item names that sort later.")));
}

/*
 * Leaves, logs and enters; returns the item as it is after all that followed.
 */
const WfItem *
wf_item_carry_out(const WfItem *old, const WfItem *new, const WfActiveMove *active)
{
	WfLogRow	row = {0};
	WfVisit		visit = {0};

	if (active->migration != NULL)
		return wf_item_migrate_visit(old, new, active);
	wf_item_leave(old, active->from, active->job_is_gone);

	row.item = new;
	row.before = old;
	row.move = active->move;
	wf_item_log(&row);
	if (active->from->kind == WF_ACTIVITY_SPAWN)
		wf_item_leave_children(old, active->move);
	wf_item_note_end(new);

	visit.item = new;
	visit.graph = active->graph;
	visit.state = active->to;
	visit.actor = active->move->actor;

	return wf_item_enter(&visit);
}

/*
 * Whoever called wf_item_move() is given the item in its own memory.
 */
static void
hand_back(WfActiveMove *active, const WfItem *after)
{
	MemoryContext inner = MemoryContextSwitchTo(active->context);

	active->result = wf_item_copy(after);
	MemoryContextSwitchTo(inner);
}

static void
judge_and_carry_out(const TriggerData *trigger, const Change *change,
					WfActiveMove *active, const char *actor)
{
	WfActiveMove direct = {0};
	WfMove		move = {0};
	const WfActiveMove *judged = active;
	const WfItem *after;

	require_present_visit(trigger, change);
	if (active != NULL)
	{
		actor = active->move->actor;
		active->judged = true;
		change->old->is_paused = active->item->is_paused;
	}
	else
		change->old->is_paused |= wf_graph_is_paused(wf_graph(change->old->workflow,
															  change->old->version));
	change->new->is_paused = change->old->is_paused;

	if (!carries_out(change, active))
	{
		if (change->old->version != change->new->version)
			wf_item_refuse_hand_change(change->old, "version");
		wf_item_judge_direct(change->old, change->new, &direct, &move);
		move.actor = actor;
		judged = &direct;
	}
	require_stamps(change, judged);
	wf_item_note_hand_changes(trigger, change->old, change->new,
							  active == NULL ? NULL : active->move->data, actor);
	after = wf_item_carry_out(change->old, change->new, judged);
	if (active != NULL)
		hand_back(active, after);
}

static bool
has_hand_changes(const TriggerData *trigger, const Change *change, Jsonb *intended)
{
	return !(change->only_moved && intended == NULL) &&
		wf_item_has_hand_changes(trigger, change->old, change->new, intended);
}

/*
 * Carries a move out of which nothing follows but its row of the log: most
 * direct updates of items that are moved by hand, and events that lead from one
 * state without an activity to another.  No statement is needed for that, nor
 * anybody's rights.  Returns false, and has done nothing, when there is more to
 * do, or something to refuse.
 */
static bool
carry_out_quietly(const TriggerData *trigger, Change *change, WfActiveMove *active)
{
	WfActiveMove direct = {0};
	WfMove		move = {0};
	WfActiveMove *judged = active;
	WfLogRow	row = {0};

	if (change->old->version != change->new->version)
		return false;			/* a migration, or to be refused */
	if (!carries_out(change, active))
	{
		if (active != NULL || !wf_item_may_be_moved_by_hand(change->old, change->new, judged = &direct, &move))
			return false;
		move.actor = wf_role_name(GetUserId());
	}
	if (!wf_item_leaves_quietly(change->old, judged->from, judged->job_is_gone) ||
		!wf_item_enters_quietly(change->new, judged->to) ||
		!has_stamps(change, judged->from, judged->to) ||
		wf_row_is_superseded(trigger->tg_newtuple) ||
		has_hand_changes(trigger, change, judged->move->data) ||
		!wf_item_log_is_plain())
		return false;

	row.item = change->new;
	row.before = change->old;
	row.move = judged->move;
	wf_item_log_quietly(&row, trigger);
	if (active == NULL)
		return true;
	active->judged = true;
	complete(trigger, change);
	change->new->is_paused = active->item->is_paused;
	change->new->data = wf_item_data_from_row(trigger->tg_newslot);
	hand_back(active, change->new);

	return true;
}

/*
 * The same with all that may follow, with the rights of the extension.
 */
static void
carry_out_as_owner(const TriggerData *trigger, Change *change, WfActiveMove *active, bool is_move)
{
	char	   *actor = wf_role_name(GetUserId());
	WfCaller	caller;

	wf_item_log_flush();
	complete(trigger, change);
	wf_enter_owner(&caller);
	SPI_connect();
	change->new->data = wf_item_data_from_row(trigger->tg_newslot);
	if (is_move)
		judge_and_carry_out(trigger, change, active, actor);
	else
		wf_item_note_hand_changes(trigger, change->old, change->new, NULL, actor);
	SPI_finish();
	wf_leave_owner(&caller);
}

PG_FUNCTION_INFO_V1(wf_item_judge);

/*
 * AFTER UPDATE: judges the row as stored; a move leaves, logs and enters.
 */
Datum
wf_item_judge(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = require_update_trigger(fcinfo);
	Change		change = read_change(trigger);
	WfActiveMove *active = pending_move(&change);
	bool		is_move = active != NULL || strcmp(change.old->state, change.new->state) != 0;

	if (!(is_move && change.only_moved))
	{
		complete(trigger, &change);
		if (!wf_item_judge_columns(trigger, change.old, is_move))
			return PointerGetDatum(NULL);
	}
	if (!is_move || !carry_out_quietly(trigger, &change, active))
		carry_out_as_owner(trigger, &change, active, is_move);

	return PointerGetDatum(NULL);
}
