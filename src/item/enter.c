/*
 * enter.c
 *	  Entering a state: what it sets going.
 *
 * An event that came early and is handled here fires before anything else, so
 * that no activity is begun only to be dropped.  Then the deadline of the
 * visit is set and the activity begun: a job in its queue, a timer, or, for
 * gate, validate and then, the next move at once.
 *
 * A visit that is to start later (the first one, with run_at) and has no job
 * to carry the time begins when its timer 'start' fires.
 */
#include "postgres.h"

#include "base/clock.h"
#include "item/item_internal.h"

/*
 * Moves a visiting item on, as the engine.
 */
const WfItem *
wf_item_raise(const WfVisit *visit, const char *event, const char *reason,
			  Jsonb *event_data)
{
	WfMove		move = {0};

	move.event = event;
	move.kind = "engine";
	move.actor = visit->actor;
	move.reason = reason;
	move.event_data = event_data;

	return wf_item_move(visit->item, &move);
}

/*
 * Whether the activity's job carries the time it may start at.
 */
bool
wf_item_job_carries_start(const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_TASK:
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
			return true;
		default:
			return false;
	}
}

static const WfItem *
begin_activity(const WfVisit *visit)
{
	switch (visit->state->kind)
	{
		case WF_ACTIVITY_NONE:
		case WF_ACTIVITY_FINAL:
			return visit->item;
		case WF_ACTIVITY_SQL:
			return wf_item_enter_sql(visit);
		case WF_ACTIVITY_TASK:
			return wf_item_enter_task(visit);
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
			return wf_item_enter_request(visit);
		case WF_ACTIVITY_REVIEW:
			return wf_item_enter_review(visit);
		case WF_ACTIVITY_EXCEPTION:
			return wf_item_enter_exception(visit);
		case WF_ACTIVITY_WAIT:
			return wf_item_enter_wait(visit);
		case WF_ACTIVITY_SPAWN:
			return wf_item_enter_spawn(visit);
		case WF_ACTIVITY_GATE:
			return wf_item_enter_gate(visit);
		case WF_ACTIVITY_VALIDATE:
			return wf_item_enter_validate(visit);
		case WF_ACTIVITY_THEN:
			return wf_item_enter_then(visit);
	}

	elog(ERROR, "unknown kind of activity: %d", (int) visit->state->kind);
}

static void
set_deadline(const WfVisit *visit)
{
	TimestampTz from = visit->start_at != 0 ? visit->start_at : visit->item->since;

	if (visit->state->timeout_us > 0)
		wf_item_set_timer(visit->item, "timeout", wf_time_after(from, &visit->state->timeout),
						  visit->state->timeout_event);
	if (visit->state->awaits_compensation)
		wf_item_await_compensation(visit->item);
	wf_item_begin_sla(visit->item, visit->state, from);
}

/*
 * Whether an event can move an item out of the state: all but those that are
 * decided at once or final.
 */
bool
wf_item_takes_events(const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_FINAL:
		case WF_ACTIVITY_GATE:
		case WF_ACTIVITY_VALIDATE:
		case WF_ACTIVITY_THEN:
			return false;
		default:
			return true;
	}
}

/*
 * Whether entering the state, now, sets nothing going.
 */
bool
wf_item_enters_quietly(const WfItem *item, const WfState *state)
{
	return (state->kind == WF_ACTIVITY_NONE || state->kind == WF_ACTIVITY_FINAL) &&
		state->timeout_us == 0 && state->sla_us == 0 && !item->keeps_events &&
		!state->awaits_compensation &&
		(item->outcome == NULL || item->parent_id == 0);
}

/*
 * Sets going what the state of the visit declares.  Returns the item as it is
 * after all that followed at once.
 */
const WfItem *
wf_item_enter(const WfVisit *visit)
{
	if (visit->start_at > wf_now() && !wf_item_job_carries_start(visit->state))
	{
		wf_item_set_timer(visit->item, "start", visit->start_at, "start");
		return visit->item;
	}
	if (visit->item->keeps_events && wf_item_takes_events(visit->state))
	{
		const WfItem *moved = wf_item_fire_kept_event(visit);

		if (moved != NULL)
			return moved;
	}
	set_deadline(visit);

	return begin_activity(visit);
}
