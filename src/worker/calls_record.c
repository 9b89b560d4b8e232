/*
 * calls_record.c
 *	  Outside calls: recording what they came to.
 *
 * The evidence goes to the ledger first, and needs no item for that; what
 * follows from it for a job is a transaction of its own (calls_tell.c).  A
 * batch of results is one transaction.  When it fails they are recorded one by
 * one, and one that fails alone with its bare facts only.  One that not even
 * that helps keeps its evidence in the process and is tried again; it holds
 * nobody up.
 */
#include "postgres.h"

#include "base/commit.h"
#include "base/point.h"
#include "base/sqlstate.h"
#include "item/item.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"
#include "worker/exchange.h"
#include "worker/tell.h"

/* What is recorded together is in memory together, several times. */
#define MAX_RECORD_BYTES (4 * 1024 * 1024)

/* So many failures one after the other are the server's, not theirs. */
#define MAX_FAILURES 3

/*
 * What is sure to be stored: how far the attempt came, and the status.
 */
static void
strip(WfExchange *exchange)
{
	exchange->headers = NULL;
	exchange->body = NULL;
	exchange->body_length = 0;
	exchange->body_truncated = true;
}

/*
 * What follows for the call.  The row of an effect that somebody holds is
 * recorded when it is free.
 */
static void
move_on(WfCall *call, WfDisposition disposition)
{
	call->retry_at = 0;
	call->not_before = 0;
	call->waiting_on = NULL;
	call->has_succeeded = disposition == WF_EFFECT_SUCCEEDED;
	if (disposition == WF_EFFECT_BUSY)
		wf_call_put_off(call, WF_CALL_KEPT);
	else if (disposition == WF_EFFECT_BEFORE_DONE && !wf_calls_is_ending(call->calls))
		wf_call_begin(call);
	else
		wf_call_move(call, WF_CALL_SETTLED);
}

/*
 * The oldest finished calls, as many as are to be recorded now: not more than
 * the limit, and only one that is large.
 */
static int
choose(WfCalls *calls, WfCall **chosen)
{
	size_t		nbytes = 0;
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &calls->stages[WF_CALL_FINISHED])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		nbytes += call->result->body_length;
		if (n == calls->record_limit || (n > 0 && nbytes > MAX_RECORD_BYTES))
			break;
		chosen[n++] = call;
	}

	return n;
}

/*
 * Many calls without an item are of one queue: it is asked once for them.
 */
static Jsonb *
policy_of(const WfJob *job, const WfJob **asked, Jsonb **answer)
{
	if (job->item_id != 0)
		return wf_job_policy(job);
	if (*asked == NULL || strcmp((*asked)->queue, job->queue) != 0)
		*answer = wf_job_policy(job);
	*asked = job;

	return *answer;
}

static void
record_batch(void *argument)
{
	WfCalls    *calls = argument;
	WfCall	   *chosen[WF_CALLS_MAX_RECORD];
	int			n = choose(calls, chosen);
	WfRecording *recordings = palloc0(sizeof(WfRecording) * n);
	WfExchange *exchanges = palloc(sizeof(WfExchange) * n);
	const WfJob *asked = NULL;
	Jsonb	   *answer = NULL;

	wf_require_flushed_commit();
	wf_tell_limit_waits();
	WF_POINT(record_begun);
	for (int i = 0; i < n; i++)
	{
		WfCall	   *call = chosen[i];

		wf_exchange_read(call->result, &exchanges[i]);
		exchanges[i].kind = call->kind;
		if (call->is_bare)
			strip(&exchanges[i]);
		recordings[i].effect_id = call->effect_id;
		recordings[i].token = call->token;
		recordings[i].exchange = &exchanges[i];
		recordings[i].policy = call->is_bare ? NULL : policy_of(&call->job, &asked, &answer);
	}
	wf_effect_record_many(recordings, n);
	for (int i = 0; i < n; i++)
		move_on(chosen[i], recordings[i].disposition);
	if (calls->record_limit > 1)
		wf_calls_end_together(calls);
	WF_POINT(record_written);
}

static bool
perform(const WfDispatcher *by, const char *doing, WfStep step, void *argument, WfFault *fault)
{
	return (by->record != NULL ? by->record : by->perform) (doing, step, argument, fault);
}

/*
 * Records up to limit finished calls in one transaction.
 */
static bool
record(WfCalls *calls, int limit, WfFault *fault)
{
	calls->record_limit = limit;
	if (!perform(calls->by, "recording results", record_batch, calls, fault))
	{
		wf_calls_undo(calls);
		return false;
	}
	WF_POINT(record_flushed);
	wf_calls_keep(calls);
	(void) wf_calls_start(calls);

	return true;
}

static void
record_and_claim(void *argument)
{
	WfCalls    *calls = argument;

	record_batch(calls);
	calls->busy_at = GetCurrentTimestamp();
	wf_calls_look_for_jobs(calls);
}

/*
 * Records the last batch, and the calls that come into the free places begin in
 * the same transaction: one flush does for both.  Only where more wait, for
 * looking takes time; what fails is done in two transactions.
 */
static bool
record_last_and_claim(WfCalls *calls)
{
	WfFault		ignored;

	if (calls->nstage[WF_CALL_FINISHED] > WF_CALLS_MAX_RECORD || calls->has_failed ||
		wf_calls_is_ending(calls) || !wf_calls_has_backlog(calls))
		return false;
	calls->record_limit = WF_CALLS_MAX_RECORD;
	if (!perform(calls->by, "recording results and beginning calls", record_and_claim, calls,
				 &ignored))
	{
		wf_calls_undo(calls);
		return false;
	}
	WF_POINT(record_flushed);
	wf_calls_keep(calls);
	(void) wf_calls_start_claimed(calls);

	return calls->nstage[WF_CALL_FINISHED] == 0;
}

/*
 * Somebody deleted the effect: there is nothing to record on, and its job has
 * to be told that.
 */
static void
give_up(WfCall *call, const WfFault *fault)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	ereport(LOG,
			(errmsg("pg_workflow: effect " INT64_FORMAT " is gone, and with it what its call came to: status %d",
					call->effect_id, call->result->status)));
	call->fault = *fault;
	call->fault.message = pstrdup(fault->message);
	call->fault.detail = call->fault.context = NULL;
	MemoryContextSwitchTo(caller);
	wf_call_move_for_good(call, WF_CALL_SETTLED);
}

/*
 * Records the oldest finished call; false when it has to be kept.
 */
static bool
record_one(WfCalls *calls)
{
	WfCall	   *call = dlist_head_element(WfCall, node, &calls->stages[WF_CALL_FINISHED]);
	WfFault		fault;

	if (record(calls, 1, &fault))
		return true;
	if (!wf_fault_is_passing(&fault) && fault.sqlstate != ERRCODE_WF_UNKNOWN)
	{
		call->is_bare = true;
		if (record(calls, 1, &fault))
			return true;
		call->is_bare = false;
	}
	if (fault.sqlstate == ERRCODE_WF_UNKNOWN)
		give_up(call, &fault);
	else
		wf_call_put_off(call, WF_CALL_KEPT);

	return fault.sqlstate == ERRCODE_WF_UNKNOWN;
}

/*
 * Records one by one what cannot be recorded together.  When nothing can, it
 * waits for a moment.
 */
static void
record_singly(WfCalls *calls)
{
	int			failures = 0;

	for (int n = calls->nstage[WF_CALL_FINISHED]; n > 0; n--)
	{
		failures = record_one(calls) ? 0 : failures + 1;
		if (failures < MAX_FAILURES)
			continue;
		calls->record_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   WF_CALLS_BACK_OFF_MS);
		calls->has_failed = true;
		return;
	}
}

/*
 * Records all that is finished; returns how many were recorded.  Calls may begin
 * in free places, if claims: then there is no need to look for jobs after it.
 */
int
wf_calls_record_all(WfCalls *calls, bool claims)
{
	int			before = calls->nstage[WF_CALL_FINISHED];
	WfFault		fault;

	calls->record_at = 0;
	while (calls->nstage[WF_CALL_FINISHED] > 0 && calls->record_at == 0)
	{
		if (claims && record_last_and_claim(calls))
			return before;
		if (!record(calls, WF_CALLS_MAX_RECORD, &fault))
			record_singly(calls);
	}
	calls->look_now = true;

	return before - calls->nstage[WF_CALL_FINISHED];
}
