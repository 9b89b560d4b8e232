/*
 * calls_begin.c
 *	  Outside calls: claiming jobs and putting their calls on the wire.
 *
 * Jobs are claimed and their effects marked "sending" in one transaction.  It
 * is flushed before any byte leaves, whatever the server's setting.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "item/item.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"
#include "worker/exchange.h"

#define MAX_CLAIM 60			/* each is begun in a subtransaction */

/*
 * The transaction that begins calls must be on disk before they leave,
 * whatever the server's setting.
 */
void
wf_calls_require_flush(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
begin_send(void *argument)
{
	WfCall	   *call = argument;
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	call->wire = wf_effect_begin_send(call->effect_id, call->calls->by->worker,
									  &call->outcome);
	MemoryContextSwitchTo(caller);
}

/*
 * Begins a call inside the present transaction: its effect is "sending" when
 * that commits.  Where nothing is to be sent, its job is told so.
 */
void
wf_call_begin(WfCall *call)
{
	const WfDispatcher *by = call->calls->by;
	WfFault		fault;

	wf_call_move(call, WF_CALL_BEGUN);
	call->wire = NULL;
	if (!wf_round_try(begin_send, call, &fault))
		wf_dispatch_fail(by, &call->job, &fault);
	else if (call->wire == NULL)
		wf_item_effect_settled(&call->outcome, by->actor);
}

/*
 * Begins the calls that stood aside and may go now.
 */
static void
begin_aside(WfCalls *calls)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_ASIDE])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (call->endpoint->nbusy < call->endpoint->max)
			wf_call_begin(call);
	}
}

/*
 * Gives a job back for so long as its endpoint is likely to be busy.
 */
static void
give_back(WfCall *call)
{
	TimestampTz again = TimestampTzPlusMilliseconds(wf_now(),
													wf_endpoint_line_ms(call->endpoint));

	wf_queue_release(&call->job, again);
	wf_call_forget(call);
}

/*
 * A second job of an effect waits for the first one's call.
 */
static void
wait_for_other(WfCalls *calls, const WfJob *job)
{
	WfEffectOutcome outcome = wf_effect_standing(job->effect_id);

	wf_item_effect_settled(&outcome, calls->by->actor);
}

static void
take_job(WfCalls *calls, const WfJob *job)
{
	WfCall	   *call = wf_call_make(calls, job);

	if (call == NULL)
		wait_for_other(calls, job);
	else if (call->endpoint->nbusy < call->endpoint->max)
		wf_call_begin(call);
	else if (call->endpoint->naside < call->endpoint->max)
		wf_call_move(call, WF_CALL_ASIDE);
	else
		give_back(call);
}

static int
claim_kind(WfCalls *calls, const char *kind, int limit)
{
	List	   *jobs;
	ListCell   *cell;

	if (limit <= 0)
		return 0;
	jobs = wf_queue_claim_kind(kind, calls->by->worker, limit);
	foreach(cell, jobs)
		take_job(calls, lfirst(cell));

	return list_length(jobs);
}

static TimestampTz
earlier(TimestampTz one, TimestampTz other)
{
	return one == 0 || other == 0 ? Max(one, other) : Min(one, other);
}

/*
 * Claims what there is room for, the kinds taking turns at being first.
 */
static void
claim(void *argument)
{
	static const char *const kinds[] = {"http", "model"};
	WfCalls    *calls = argument;
	int			first = calls->nturns++ % 2;
	int			wanted;

	wf_calls_require_flush();
	begin_aside(calls);
	wanted = Min(MAX_CLAIM, wf_calls_room(calls));
	calls->nclaimed = claim_kind(calls, kinds[first], wanted);
	calls->nclaimed += claim_kind(calls, kinds[1 - first], wanted - calls->nclaimed);
	calls->may_be_more = wanted > 0 && calls->nclaimed >= wanted;
	calls->next_due = earlier(wf_queue_next_due("http"), wf_queue_next_due("model"));
}

/*
 * After the commit: what was begun goes on the wire.
 */
int
wf_calls_start(WfCalls *calls)
{
	dlist_mutable_iter iter;
	int			n = 0;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_BEGUN])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		n++;
		if (call->wire == NULL)
		{
			wf_call_forget(call);
			continue;
		}
		call->token = call->wire->token;
		call->result = NULL;
		wf_exchange_start(calls->client, call->effect_id, call->wire);
		wf_call_move_for_good(call, WF_CALL_UNDER_WAY);
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
	if (calls->nclaimed > 0 || calls->next_due == 0 || calls->next_due > now)
		calls->fruitless = 0;
	else
	{
		calls->fruitless = Min(calls->fruitless + 1, 7);
		calls->look_at = TimestampTzPlusMilliseconds(now, 50L << calls->fruitless);
	}
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
	calls->has_failed = false;
	wf_calls_keep(calls);
	plan_next_look(calls);

	return wf_calls_start(calls);
}

static void
release_aside(void *argument)
{
	WfCalls    *calls = argument;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_ASIDE])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		wf_queue_release(&call->job, wf_now());
		wf_call_forget(call);
	}
}

/*
 * Gives back what stands aside, so that only what is under way is left.
 */
void
wf_calls_stop_claiming(WfCalls *calls)
{
	WfFault		fault;

	calls->is_stopping = true;
	if (calls->nstage[WF_CALL_ASIDE] > 0)
		(void) calls->by->perform("giving jobs back", release_aside, calls, &fault);
}
