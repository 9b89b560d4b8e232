/*
 * calls.c
 *	  Outside calls from claim to record: where queue, effect and http meet.
 *
 * A call goes this way:
 *
 *		claimed --> begun --> under way --> finished --> settled --> told
 *		   |          ^                         |
 *		   +-> aside -+            (the value before is known: begun again)
 *
 * "claimed" and "begun" happen in one transaction that is flushed before any
 * byte leaves; no transaction is open while calls are under way; what is
 * finished is recorded in the ledger in batches ("settled"), and only then, in
 * another transaction, the jobs are told and the items move.  Calls that have no
 * item are told as they are recorded; and where more wait, the next ones begin
 * in the transaction that records.  A call stays in the table until its evidence
 * is recorded and its job told, whatever fails meanwhile.  None of these
 * transactions waits for a row that somebody holds.
 *
 * A claimed job whose endpoint has enough calls under way stands aside until
 * one of those ends.  At most as many stand aside as may be under way; the
 * rest is given back for a while.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/config.h"
#include "base/point.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"

#define RECORD_MS 20

static int
count(const WfCalls *calls, WfCallStage stage)
{
	return calls->nstage[stage];
}

/*
 * Opens the client; one for each process.
 */
WfCalls *
wf_calls_open(const WfDispatcher *by)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "wf calls",
												  ALLOCSET_DEFAULT_SIZES);
	WfCalls    *calls = MemoryContextAllocZero(context, sizeof(WfCalls));

	calls->by = by;
	calls->context = context;
	calls->client = wf_http_client_open(wf_max_in_flight);
	calls->look_now = true;
	wf_calls_make_table(calls);
	calls->waits = wf_create_wait_event_set(3);
	AddWaitEventToSet(calls->waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(calls->waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(calls->waits, WL_SOCKET_READABLE, wf_http_client_fd(calls->client),
					  NULL, NULL);

	return calls;
}

/*
 * Ends all calls at once: what was under way becomes unknown when its sender
 * is found to be gone.
 */
void
wf_calls_close(WfCalls *calls)
{
	FreeWaitEventSet(calls->waits);
	wf_http_client_close(calls->client);
	MemoryContextDelete(calls->context);
}

void
wf_calls_look(WfCalls *calls)
{
	calls->look_now = true;
}

int
wf_calls_under_way(const WfCalls *calls)
{
	return count(calls, WF_CALL_UNDER_WAY) + count(calls, WF_CALL_FINISHED) +
		count(calls, WF_CALL_KEPT);
}

/*
 * Whether the process was asked to end: what is begun now would only be given
 * up again.
 */
bool
wf_calls_is_ending(const WfCalls *calls)
{
	return calls->by->is_ending != NULL && calls->by->is_ending();
}

bool
wf_calls_has_failed(const WfCalls *calls)
{
	return calls->has_failed;
}

TimestampTz
wf_calls_next_due(const WfCalls *calls)
{
	return wf_earlier(calls->next_due, wf_calls_retry_at(calls, WF_CALL_SETTLED));
}

/*
 * Takes the results out of the client, each into its call.
 */
static void
collect(WfCalls *calls, WfHttpResult *(*next_result) (WfHttpClient *client))
{
	for (;;)
	{
		MemoryContext context = AllocSetContextCreate(calls->context, "wf result",
													  ALLOCSET_SMALL_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);
		WfHttpResult *result = next_result(calls->client);
		WfCall	   *call;

		MemoryContextSwitchTo(caller);
		call = result == NULL ? NULL : wf_calls_find(calls, result->id);
		if (call == NULL)
		{
			MemoryContextDelete(context);
			if (result == NULL)
				return;
			continue;
		}
		MemoryContextSetParent(context, call->context);
		call->result = result;
		wf_endpoint_call_ended(call->endpoint, result);
		if (count(calls, WF_CALL_FINISHED) == 0)
			calls->oldest_finished = GetCurrentTimestamp();
		wf_call_move_for_good(call, WF_CALL_FINISHED);
		WF_POINT(answer_collected);
	}
}

/*
 * What could not be recorded is tried again when its time has come.
 */
static void
take_up_kept(WfCalls *calls, TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &calls->stages[WF_CALL_KEPT])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (call->retry_at > now)
			continue;
		if (count(calls, WF_CALL_FINISHED) == 0)
			calls->oldest_finished = GetCurrentTimestamp();
		wf_call_move_for_good(call, WF_CALL_FINISHED);
	}
}

/*
 * How long a batch that is not full waits for company; 0: it does not.  What
 * began a moment ago may end in a moment; what has taken long already will not
 * come in time, and others must not feel that it takes long.
 */
static TimestampTz
record_until(const WfCalls *calls)
{
	dlist_head *under_way = unconstify(dlist_head *, &calls->stages[WF_CALL_UNDER_WAY]);
	TimestampTz last_started;

	if (dlist_is_empty(under_way))
		return 0;
	last_started = dlist_tail_element(WfCall, node, under_way)->started_at;

	return TimestampTzPlusMilliseconds(Min(calls->oldest_finished, last_started), RECORD_MS);
}

static bool
is_time_to_record(const WfCalls *calls)
{
	TimestampTz now = GetCurrentTimestamp();

	if (count(calls, WF_CALL_FINISHED) == 0 || calls->record_at > now)
		return false;

	return count(calls, WF_CALL_FINISHED) >= WF_CALLS_MAX_RECORD || record_until(calls) <= now;
}

static bool
is_time_to_look(const WfCalls *calls)
{
	if (calls->is_stopping)
		return false;
	if (calls->record_at != 0 || wf_calls_room(calls) <= 0)
		return false;			/* no more, while results cannot be stored */

	return calls->look_now ||
		(calls->look_at != 0 && calls->look_at <= GetCurrentTimestamp());
}

static void
note_moves(WfCalls *calls, int moved)
{
	if (moved > 0)
		calls->busy_at = GetCurrentTimestamp();
}

int
wf_calls_turn(WfCalls *calls)
{
	int			before = count(calls, WF_CALL_UNDER_WAY);
	int			moved = 0;

	wf_http_pump(calls->client);
	WF_POINT(calls_pumped);
	collect(calls, wf_http_next_result);
	moved = before - count(calls, WF_CALL_UNDER_WAY);
	take_up_kept(calls, GetCurrentTimestamp());
	if (is_time_to_record(calls))
		moved += wf_calls_record_all(calls, !calls->is_stopping);
	moved += wf_calls_tell_all(calls);
	note_moves(calls, moved);
	if (is_time_to_look(calls))
		moved += wf_calls_claim(calls);
	moved += wf_calls_tell_all(calls);
	if (moved > 0 && !wf_calls_is_ending(calls))
	{
		wf_http_pump(calls->client);
		collect(calls, wf_http_next_result);
	}
	note_moves(calls, moved);
	wf_registry_in_flight(count(calls, WF_CALL_UNDER_WAY));

	return moved;
}

void
wf_calls_finish(WfCalls *calls)
{
	collect(calls, wf_http_give_up_unsent);
	wf_http_pump(calls->client);
	collect(calls, wf_http_next_result);
	take_up_kept(calls, DT_NOEND);
	(void) wf_calls_record_all(calls, false);
	(void) wf_calls_tell_all(calls);
}

static long
shorter(long one, long other)
{
	if (one < 0 || other < 0)
		return Max(one, other);

	return Min(one, other);
}

static long
time_to_retry(const WfCalls *calls)
{
	TimestampTz at = wf_earlier(wf_calls_retry_at(calls, WF_CALL_KEPT),
								wf_calls_retry_at(calls, WF_CALL_SETTLED));

	return at == 0 ? -1 : wf_ms_until(at, -1);
}

static long
time_to_wait(WfCalls *calls, long limit_ms)
{
	long		ms = shorter(limit_ms, wf_http_timeout_ms(calls->client));

	ms = shorter(ms, time_to_retry(calls));

	if (is_time_to_record(calls))
		return 0;
	if (calls->record_at != 0)
		ms = wf_ms_until(calls->record_at, ms);
	else if (count(calls, WF_CALL_FINISHED) > 0)
		ms = wf_ms_until(record_until(calls), ms);
	if (!calls->is_stopping && wf_calls_room(calls) > 0 && calls->record_at == 0)
		ms = calls->look_now ? 0 : wf_ms_until(calls->look_at, ms);

	return ms;
}

void
wf_calls_wait(WfCalls *calls, long limit_ms)
{
	static uint32 wait_event = 0;
	WaitEvent	event;

	if (WaitEventSetWait(calls->waits, time_to_wait(calls, limit_ms), &event, 1,
						 wf_wait_event("WorkflowCalls", &wait_event)) == 1 &&
		(event.events & WL_LATCH_SET))
	{
		ResetLatch(MyLatch);
		calls->look_now = true;
	}
	CHECK_FOR_INTERRUPTS();
}
