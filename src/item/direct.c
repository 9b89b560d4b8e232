/*
 * direct.c
 *	  The judgement of an UPDATE of an item's state that somebody has typed.
 */
#include "postgres.h"

#include "base/sqlstate.h"
#include "item/item_internal.h"

static void
refuse_target(const WfItem *item, const char *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_NO_TRANSITION),
			 errmsg("no transition leads from \"%s\" to \"%s\"", item->state, target),
			 errdetail("%s", wf_item_facts(item)),
			 errhint("%s", wf_item_allowed_hint(item))));
}

/*
 * Whether the event of a transition leads there: the first one of its name counts,
 * which was looked at before.
 */
static bool
leads_there(const WfActiveMove *direct, const WfItem *item, const WfTransition *transition)
{
	if (transition->to != WF_TO_ORIGIN && &direct->graph->states[transition->to] != direct->to)
		return false;

	return wf_item_target(direct->graph, item, direct->from, transition->event) == direct->to;
}

/*
 * The event by which a hand may move an item there: one that could be sent, or
 * cancel.  NULL when there is none; *decision is a decision that leads there.
 */
static const char *
event_by_hand(const WfActiveMove *direct, const WfItem *item, const char **decision)
{
	const WfState *from = direct->from;
	bool		has_cancel = false;

	*decision = NULL;
	for (int i = 0; i < from->ntransitions; i++)
	{
		const char *event = from->transitions[i].event;

		has_cancel |= strcmp(event, "cancel") == 0;
		if (!leads_there(direct, item, &from->transitions[i]))
			continue;
		if (wf_item_event_is_decision(direct->from, event))
			*decision = *decision == NULL ? event : *decision;
		else if (strcmp(event, "cancel") == 0 || wf_item_event_is_sendable(direct->from, event))
			return event;
	}

	return !has_cancel && wf_item_target(direct->graph, item, from, "cancel") == direct->to ?
		"cancel" : NULL;
}

/*
 * Judges an update typed by somebody: fills a move with the event that leads
 * there, or raises WF001 (WF007 when a person has to decide, WF008 while the
 * item is paused, 55000 while the outcome of its action is open).
 */
void
wf_item_judge_direct(const WfItem *old, const WfItem *new, WfActiveMove *direct, WfMove *move)
{
	const char *decision = NULL;

	direct->graph = wf_graph(old->workflow, old->version);
	direct->from = wf_item_state(direct->graph, old->state);
	direct->to = wf_graph_state(direct->graph, new->state);
	if (direct->to != NULL)
		move->event = event_by_hand(direct, old, &decision);
	if (move->event == NULL && decision != NULL)
		wf_item_refuse_decision(old, decision, "made by an UPDATE");
	if (move->event == NULL)
		refuse_target(old, new->state);
	wf_item_require_running(old);
	wf_item_require_known_outcome(old, direct->from, move->event);

	move->kind = "direct";
	direct->item = old;
	direct->move = move;
}

/*
 * Whether a direct update between two states that are known goes where an event
 * leads, by what is known without a statement.
 */
bool
wf_item_goes_by_hand(const WfItem *old, WfActiveMove *direct, WfMove *move)
{
	const char *decision;

	if (old->is_paused || !wf_graph_pause_is_known(direct->graph) || wf_graph_is_paused(direct->graph) ||
		!wf_item_leaves_quietly(old, direct->from, false))
		return false;
	move->event = event_by_hand(direct, old, &decision);
	move->kind = "direct";
	direct->move = move;

	return move->event != NULL;
}

/*
 * The same between states by their names.
 */
bool
wf_item_may_be_moved_by_hand(const WfItem *old, const WfItem *new, WfActiveMove *direct,
							 WfMove *move)
{
	direct->graph = wf_graph_known(old->workflow, old->version);
	if (direct->graph == NULL)
		return false;
	direct->from = wf_graph_state(direct->graph, old->state);
	direct->to = wf_graph_state(direct->graph, new->state);

	return direct->from != NULL && direct->to != NULL && wf_item_goes_by_hand(old, direct, move);
}
