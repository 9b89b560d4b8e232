/*
 * mocked.c
 *	  run() in a transaction block: calls that mocks answer.
 *
 * One call after the other goes the way of calls_begin.c, calls_record.c and
 * calls_tell.c: it begins in the ledger, with all that is checked there; what
 * came back is recorded, and its job is told.  Only what is between differs:
 * there is no commit before the call, because nothing is sent, and the answer
 * comes from wf_http_play().
 */
#include "postgres.h"

#include "base/deferred.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "effect/mock.h"
#include "item/item.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/calls_internal.h"
#include "worker/exchange.h"
#include "worker/mocked.h"
#include "worker/tell.h"

typedef struct Mocked
{
	const WfDispatcher *by;
	MemoryContext context;		/* of everything below */
	WfJob		job;
	WfWire	   *wire;			/* NULL: nothing is to be sent */
	WfEffectOutcome outcome;	/* then: why */
	WfFault		fault;			/* why it could not begin; no message: it
								 * could */
	WfHttpResult *result;
	WfDisposition disposition;	/* what was recorded */
} Mocked;

static void
begin_call(void *argument)
{
	Mocked	   *call = argument;
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	call->wire = wf_effect_begin_mocked(call->job.effect_id, call->by->worker, &call->outcome);
	MemoryContextSwitchTo(caller);
	wf_deferred_fire_steps();
}

static void
begin(void *argument)
{
	Mocked	   *call = argument;
	MemoryContext caller = MemoryContextSwitchTo(call->context);

	memset(&call->fault, 0, sizeof(call->fault));
	if (!wf_round_try(begin_call, call, &call->fault))
	{
		wf_tell_raise_cancel(call->by, &call->fault);
		call->wire = NULL;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * What the mock says, as the http room wants to know it.
 */
static WfHttpScript *
script_of(const WfMock *mock)
{
	WfHttpScript *script = palloc0(sizeof(WfHttpScript));
	WfMember   *members = mock->headers == NULL ? NULL :
	wf_jsonb_members(wf_jsonb_root(mock->headers), &script->nheaders);

	script->failure = mock->failure;
	script->status = mock->status;
	script->headers = palloc(sizeof(WfHttpHeader) * Max(script->nheaders, 1));
	for (int i = 0; i < script->nheaders; i++)
	{
		script->headers[i].name = members[i].key;
		script->headers[i].value = wf_jsonb_value_text(&members[i].value);
	}
	script->body = mock->body;
	script->body_length = mock->body_length;

	return script;
}

/*
 * A request that no mock answers is the test's fault: it ends the transaction,
 * not the step.
 */
static void
answer(Mocked *call)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);
	WfCaller	role;
	WfMock	   *mock;

	wf_enter_owner(&role);
	PushActiveSnapshot(GetTransactionSnapshot());
	mock = wf_mock_take(call->wire);
	PopActiveSnapshot();
	wf_leave_owner(&role);
	call->result = wf_exchange_play(call->job.effect_id, call->wire, script_of(mock));
	MemoryContextSwitchTo(caller);
}

static void
record(void *argument)
{
	Mocked	   *call = argument;
	WfExchange	exchange;
	WfRecording recording = {0};

	wf_exchange_read(call->result, &exchange);
	exchange.kind = call->wire->kind;
	recording.effect_id = call->job.effect_id;
	recording.token = call->wire->token;
	recording.exchange = &exchange;
	recording.policy = wf_job_policy(&call->job);
	wf_effect_record_many(&recording, 1);
	call->disposition = recording.disposition;
}

static void
tell(void *argument)
{
	Mocked	   *call = argument;

	if (call->fault.message == NULL)
		(void) wf_tell_jobs(call->by, call->job.effect_id, &call->job, call->outcome.next_at,
							call->outcome.waiting_on);
	else if (wf_item_hold_job(&call->job) == WF_HOLD_GOT)
		wf_dispatch_fail(call->by, &call->job, &call->fault);
}

/*
 * Goes on until there is something to tell; false when a step failed.
 */
static bool
carry_out(Mocked *call)
{
	WfFault		fault;

	do
	{
		CHECK_FOR_INTERRUPTS();
		memset(&call->outcome, 0, sizeof(call->outcome));
		if (!call->by->perform("beginning a call", begin, call, &fault))
			return false;
		if (call->wire == NULL)
			return true;
		memset(&call->outcome, 0, sizeof(call->outcome));
		answer(call);
		if (!call->by->perform("recording a result", record, call, &fault))
			return false;
	} while (call->disposition == WF_EFFECT_BEFORE_DONE);

	return true;
}

void
wf_mocked_call(const WfDispatcher *by, const WfJob *job)
{
	Mocked		call = {.by = by};
	MemoryContext caller;
	WfFault		fault;

	call.context = AllocSetContextCreate(CurrentMemoryContext, "wf mocked call",
										 ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(call.context);
	wf_call_copy_job(&call.job, job);
	MemoryContextSwitchTo(caller);
	if (carry_out(&call))
		(void) by->perform("telling a job of its effect", tell, &call, &fault);
	MemoryContextDelete(call.context);
}
