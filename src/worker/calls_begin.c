/*
 * calls_begin.c
 *	  Outside calls: claiming jobs and putting their calls on the wire.
 *
 * Jobs are claimed and their effects marked "sending" in one transaction.  It
 * is flushed before any byte leaves, whatever the server's setting.  It touches
 * no item and waits for nobody: where nothing may be sent, the job is told so
 * afterwards.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/commit.h"
#include "base/deferred.h"
#include "base/point.h"
#include "miscadmin.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"
#include "worker/exchange.h"
#include "worker/tell.h"

#define MAX_CLAIM 200
#define CROWDED_MS 100
#define MAX_CROWDED_MS 400
#define IDLE_MS 2
#define MAX_SINGLY 60			/* each is begun in a subtransaction */

static void
begin_send(void *argument)
{
	WfCall	   *call = argument;
	WfEffectOutcome outcome;

	call->wire = wf_effect_begin_send(call->effect_id, call->calls->by->worker, &outcome);
	call->not_before = outcome.next_at;
	call->waiting_on = outcome.waiting_on;
	wf_deferred_fire_steps();
}

/*
 * What is only in the way now is no fault of the job.
 */
static void
keep_fault(WfCall *call, const WfFault *fault)
{
	wf_tell_raise_cancel(call->calls->by, fault);
	if (wf_fault_is_passing(fault))
		call->not_before = TimestampTzPlusMilliseconds(wf_now(), WF_CALLS_BACK_OFF_MS);
	else
		call->fault = *fault;
}

static void
has_begun(WfCall *call, WfWire *wire)
{
	call->wire = wire;
	call->retry_at = 0;
	call->failures = 0;
	wf_call_move(call, wire == NULL ? WF_CALL_SETTLED : WF_CALL_BEGUN);
}

/*
 * Begins a call inside the present transaction: its effect is "sending" when
 * that commits.  Where nothing is to be sent, its job is to be told so.
 */
void
wf_call_begin(WfCall *call)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);
	WfFault		fault;

	call->wire = NULL;
	call->not_before = 0;
	call->waiting_on = NULL;
	if (!wf_round_try(begin_send, call, &fault))
	{
		call->wire = NULL;
		keep_fault(call, &fault);
	}
	MemoryContextSwitchTo(caller);
	has_begun(call, call->wire);
}

/*
 * The calls that are to begin now, together.
 */
typedef struct Beginning
{
	WfCalls    *calls;
	WfStart    *starts;
	int			n;
} Beginning;

static void
begin_many(void *argument)
{
	Beginning  *beginning = argument;

	wf_effect_begin_many(beginning->starts, beginning->n, beginning->calls->by->worker);
	wf_deferred_fire_steps();
}

/*
 * Begins all that are chosen.  Those of which more has to be written than that
 * they begin, and all of them when they cannot begin together, begin one by
 * one; of these, as many as may in one transaction.
 */
static void
begin_chosen(WfCalls *calls)
{
	Beginning	beginning = {.calls = calls};
	int			room = MAX_SINGLY;
	dlist_mutable_iter iter;
	WfFault		fault;

	beginning.starts = palloc0(sizeof(WfStart) * Max(1, calls->nstage[WF_CALL_CHOSEN]));
	dlist_foreach_modify(iter, &calls->stages[WF_CALL_CHOSEN])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		beginning.starts[beginning.n].effect_id = call->effect_id;
		beginning.starts[beginning.n++].context = call->context;
	}
	if (beginning.n > 1 && !wf_round_try(begin_many, &beginning, &fault))
	{
		wf_tell_raise_cancel(calls->by, &fault);
		memset(beginning.starts, 0, sizeof(WfStart) * beginning.n);
	}
	beginning.n = 0;
	dlist_foreach_modify(iter, &calls->stages[WF_CALL_CHOSEN])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);
		WfWire	   *wire = beginning.starts[beginning.n++].wire;

		call->not_before = 0;
		call->waiting_on = NULL;
		if (wire != NULL)
			has_begun(call, wire);
		else if (room-- > 0)
			wf_call_begin(call);
		else
			wf_call_move(call, WF_CALL_ASIDE);
	}
}

/*
 * Chooses the calls that stood aside and may go now.
 */
static void
choose_aside(WfCalls *calls)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_ASIDE])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		wf_endpoint_grow(call->endpoint);
		if (call->endpoint->nbusy < call->endpoint->max && wf_calls_room(calls) > 0)
			wf_call_move(call, WF_CALL_CHOSEN);
	}
}

/*
 * Whether places have become free again, because what was chosen did not begin.
 */
static bool
may_one_aside_go(WfCalls *calls)
{
	dlist_iter	iter;

	dlist_foreach(iter, &calls->stages[WF_CALL_ASIDE])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (call->endpoint->nbusy < call->endpoint->max)
			return true;
	}

	return false;
}

/*
 * A job is given back for so long as its endpoint is likely to be busy.
 */
static void
leave_for_later(WfCall *call, WfJob *job)
{
	job->run_at = TimestampTzPlusMilliseconds(wf_now(), wf_endpoint_line_ms(call->endpoint));
	call->calls->ngiven_back++;
	call->endpoint->is_crowded = true;
	wf_call_forget(call);
}

/*
 * Whether there is room for a job; else it is to be given back.
 */
static bool
take_job(WfCalls *calls, WfJob *job, const WfRoute *route)
{
	WfCall	   *call = wf_call_make(calls, job, route);

	if (call == NULL)			/* a second job waits for the first one's call */
		wf_queue_park(job, "effect", NULL, NULL);
	else if (call->endpoint->nbusy < call->endpoint->max)
		wf_call_move(call, WF_CALL_CHOSEN);
	else if (wf_calls_has_place_aside(calls, call->endpoint))
		wf_call_move(call, WF_CALL_ASIDE);
	else
	{
		leave_for_later(call, job);
		return false;
	}

	return true;
}

static int
claim_kind(WfCalls *calls, const char *kind, int limit)
{
	List	   *jobs;
	List	   *given_back = NIL;
	WfRoute    *routes;
	ListCell   *cell;

	if (limit <= 0)
		return 0;
	jobs = wf_queue_claim_kind(kind, calls->by->worker, limit);
	if (jobs == NIL)
		return 0;
	routes = palloc(sizeof(WfRoute) * list_length(jobs));
	foreach(cell, jobs)
		routes[foreach_current_index(cell)].effect_id = ((WfJob *) lfirst(cell))->effect_id;
	wf_effect_find_routes(routes, list_length(jobs));
	foreach(cell, jobs)
	{
		if (!take_job(calls, lfirst(cell), &routes[foreach_current_index(cell)]))
			given_back = lappend(given_back, lfirst(cell));
	}
	wf_queue_put_back(given_back, "max_in_flight");
	foreach(cell, jobs)
		calls->found_others |= !wf_calls_is_crowded(calls,
													routes[foreach_current_index(cell)].endpoint_id);

	return list_length(jobs);
}

/*
 * Where endpoints have more than enough, whatever else is claimed would be given
 * back; so everything, the jobs of other endpoints too, is looked at when no call
 * ends for a moment, else from time to time.
 */
static bool
is_crowded(const WfCalls *calls)
{
	TimestampTz now = GetCurrentTimestamp();

	return calls->crowded_until > now &&
		!TimestampDifferenceExceeds(calls->busy_at, now, IDLE_MS);
}

static int
room_now(const WfCalls *calls)
{
	int			room = Min(MAX_CLAIM, wf_calls_room(calls));

	return calls->crowded_until == 0 ? room : Min(room, wf_calls_room_in_crowd(calls));
}

/*
 * How many jobs to claim.
 */
static int
wanted_jobs(WfCalls *calls)
{
	if (!is_crowded(calls))
	{
		calls->crowded_until = 0;
		wf_calls_forget_crowd(calls);
	}

	return room_now(calls);
}

/*
 * While calls end all the time the lines move by themselves: a look that finds
 * nothing but them need not be repeated as soon.
 */
static void
note_crowd(WfCalls *calls)
{
	if (calls->ngiven_back == 0 || calls->crowded_until != 0)
		return;
	calls->crowd_ms = calls->found_others || calls->crowd_ms == 0 ? CROWDED_MS :
		Min(calls->crowd_ms * 2, MAX_CROWDED_MS);
	calls->crowded_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), calls->crowd_ms);
}

TimestampTz
wf_calls_next_job(void)
{
	return wf_earlier(wf_queue_next_due("http"), wf_queue_next_due("model"));
}

/*
 * Not asked of the tables where the next look comes soon anyway.
 */
static TimestampTz
next_due(const WfCalls *calls)
{
	TimestampTz now = GetCurrentTimestamp();

	if (calls->may_be_more && calls->nclaimed > 0)
		return now;
	if (calls->crowded_until != 0)
		return TimestampTzPlusMilliseconds(now, IDLE_MS);

	return wf_calls_next_job();
}

/*
 * Inside a transaction: claims what there is room for, the kinds taking turns at
 * being first, and begins what may.
 */
void
wf_calls_look_for_jobs(WfCalls *calls)
{
	static const char *const kinds[] = {"http", "model"};
	int			first = calls->nturns++ % 2;
	int			wanted;

	wf_require_flushed_commit();
	wf_tell_limit_waits();
	WF_POINT(claim_begun);
	if (wf_calls_is_ending(calls))
		return;
	choose_aside(calls);
	wanted = wanted_jobs(calls);
	wf_deferred_fire_steps();	/* what was recorded is no fault of a claim */
	calls->ngiven_back = 0;
	calls->found_others = false;
	calls->nclaimed = claim_kind(calls, kinds[first], wanted);
	calls->nclaimed += claim_kind(calls, kinds[1 - first], wanted - calls->nclaimed);
	WF_POINT(jobs_claimed);
	begin_chosen(calls);
	WF_POINT(effects_marked);
	note_crowd(calls);
	calls->got_all = wanted > 0 && calls->nclaimed >= wanted;
	calls->may_be_more = (calls->got_all && room_now(calls) > 0) || may_one_aside_go(calls);
	calls->next_due = next_due(calls);
}

/*
 * An end that was asked for meanwhile comes before anything is promised.
 */
static void
claim(void *argument)
{
	wf_calls_look_for_jobs(argument);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Whether jobs are known to wait for a place.
 */
bool
wf_calls_has_backlog(const WfCalls *calls)
{
	return calls->got_all || calls->crowded_until != 0 || calls->nstage[WF_CALL_ASIDE] > 0;
}

/*
 * After the commit: what was begun goes on the wire.
 */
int
wf_calls_start(WfCalls *calls)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_mutable_iter iter;
	int			n = 0;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_BEGUN])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		n++;
		call->started_at = now;
		call->token = call->wire->token;
		call->kind = call->wire->kind;
		call->result = NULL;
		wf_exchange_start(calls->client, call->effect_id, call->wire);
		wf_call_move_for_good(call, WF_CALL_UNDER_WAY);
		WF_POINT(call_started);
	}

	return n;
}

/*
 * Sets the time of the next look.  What is due but cannot be had (a paused
 * queue, a rate limit) is looked for less and less often.
 */
static void
plan_next_look(WfCalls *calls)
{
	TimestampTz now = GetCurrentTimestamp();

	calls->look_now = calls->may_be_more && wf_calls_room(calls) > 0;
	calls->look_at = calls->next_due;
	if (calls->crowded_until != 0)
		calls->look_at = wf_earlier(calls->look_at, TimestampTzPlusMilliseconds(now, IDLE_MS));
	if (calls->nclaimed > 0 || calls->next_due == 0 || calls->next_due > now)
		calls->fruitless = 0;
	else
	{
		calls->fruitless = Min(calls->fruitless + 1, 7);
		calls->look_at = TimestampTzPlusMilliseconds(now, 50L << calls->fruitless);
	}
	calls->look_at = wf_earlier(calls->look_at, wf_calls_grow_at(calls));
}

/*
 * After the commit of a claim.
 */
int
wf_calls_start_claimed(WfCalls *calls)
{
	WF_POINT(intent_flushed);
	calls->has_failed = false;
	plan_next_look(calls);

	return wf_calls_start(calls);
}

int
wf_calls_claim(WfCalls *calls)
{
	WfFault		fault;

	calls->nclaimed = 0;
	if (!calls->by->perform("beginning calls", claim, calls, &fault))
	{
		wf_calls_undo(calls);
		calls->look_now = false;
		calls->look_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WF_CALLS_BACK_OFF_MS);
		calls->has_failed = true;
		return 0;
	}
	wf_calls_keep(calls);

	return wf_calls_start_claimed(calls);
}

/*
 * Gives back what stands aside, so that only what is under way is left: these
 * jobs are told that their effects are still pending.
 */
void
wf_calls_stop_claiming(WfCalls *calls)
{
	dlist_mutable_iter iter;

	calls->is_stopping = true;
	dlist_foreach_modify(iter, &calls->stages[WF_CALL_ASIDE])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		call->not_before = 0;
		call->waiting_on = NULL;
		wf_call_move_for_good(call, WF_CALL_SETTLED);
	}
}
