/*
 * calls_record.c
 *	  Outside calls: recording what they came to.
 *
 * A batch of results is one transaction.  When it fails they are recorded one
 * by one; and one that fails alone, in pieces: the evidence first, then what
 * follows from it for its item.  Whatever fails, the evidence is kept in the
 * process and tried again.
 */
#include "postgres.h"

#include "base/clock.h"
#include "item/item.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"
#include "worker/exchange.h"

static void
record_call(WfCall *call, bool with_job)
{
	const WfDispatcher *by = call->calls->by;
	WfExchange	exchange;
	WfEffectOutcome outcome;

	wf_exchange_read(call->result, &exchange);
	outcome = wf_effect_record(call->effect_id, call->token, &exchange,
							   wf_item_job_policy(&call->job));
	if (outcome.disposition == WF_EFFECT_STALE || !with_job)
		return;
	if (outcome.disposition == WF_EFFECT_BEFORE_DONE)
		wf_call_begin(call);
	else
		wf_item_effect_settled(&outcome, by->actor);
}

static void
record_batch(void *argument)
{
	WfCalls    *calls = argument;
	dlist_mutable_iter iter;
	int			n = 0;

	wf_calls_require_flush();
	dlist_foreach_modify(iter, &calls->stages[WF_CALL_FINISHED])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (++n > calls->record_limit)
			break;
		wf_call_move(call, WF_CALL_RECORDED);
		record_call(call, true);
	}
}

static void
record_evidence(void *argument)
{
	WfCall	   *call = argument;

	record_call(call, false);
}

static void
settle_alone(void *argument)
{
	WfCall	   *call = argument;
	WfEffectOutcome outcome = wf_effect_standing(call->effect_id);

	wf_item_effect_settled(&outcome, call->calls->by->actor);
}

static void
fail_alone(void *argument)
{
	WfCall	   *call = argument;

	wf_item_fail_job_for_good(&call->job, "permanent",
							  "The result of the call was recorded, but its item could not go on; the server's log says why.",
							  NULL, call->calls->by->actor);
}

/*
 * Records the oldest finished call when not even that worked in one piece:
 * the evidence first, then what follows from it.
 */
static bool
record_in_pieces(WfCalls *calls)
{
	WfCall	   *call = dlist_head_element(WfCall, node, &calls->stages[WF_CALL_FINISHED]);
	WfFault		fault;

	if (!calls->by->perform("recording evidence", record_evidence, call, &fault))
		return false;
	if (!calls->by->perform("telling a job of its effect", settle_alone, call, &fault))
		(void) calls->by->perform("failing a job", fail_alone, call, &fault);
	wf_call_forget(call);

	return true;
}

/*
 * Records up to limit finished calls.  One that fails alone is recorded in
 * pieces.  Returns false when even that failed: nothing is lost then, it is
 * tried again.
 */
static bool
record(WfCalls *calls, int limit)
{
	WfFault		fault;

	calls->record_limit = limit;
	if (calls->by->perform("recording results", record_batch, calls, &fault))
	{
		wf_calls_keep(calls);
		(void) wf_calls_start(calls);
		return true;
	}
	wf_calls_undo(calls);

	return limit == 1 && record_in_pieces(calls);
}

/*
 * Records all that is finished: in batches, and after a failure one by one.
 */
void
wf_calls_record_all(WfCalls *calls)
{
	int			limit = WF_CALLS_MAX_RECORD;

	while (calls->nstage[WF_CALL_FINISHED] > 0)
	{
		if (record(calls, limit))
			continue;
		if (limit == 1)
		{
			calls->record_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   WF_CALLS_BACK_OFF_MS);
			calls->has_failed = true;
			return;
		}
		limit = 1;
	}
	calls->record_at = 0;
	calls->look_now = true;
}
