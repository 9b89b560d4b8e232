/*
 * call_table.c
 *	  The table of calls: which there are and where each stands.
 *
 * A transaction that moves calls may fail; each call remembers the stage that
 * the last commit left it in, and goes back to that.  A call that was claimed
 * in a failed transaction never existed.
 *
 * An endpoint does not get all that it takes at once: after a start, and when
 * its breaker has closed, a few calls go first.  Each that ends well makes room
 * for one more, and while none fails the room doubles with time, too.
 */
#include "postgres.h"

#include "base/config.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"

#define FIRST_AVERAGE_MS 100
#define MAX_LINE_MS 30000
#define FIRST_AT_START 4
#define FIRST_AFTER_BREAKER 1
#define GROW_MS 250
#define LINE_STEP_MS 100		/* so that those who wait come back together */

void
wf_calls_make_table(WfCalls *calls)
{
	HASHCTL		control = {0};

	control.hcxt = calls->context;
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(WfCall);
	calls->table = hash_create("wf calls", 256, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = sizeof(int32);
	control.entrysize = sizeof(WfEndpoint);
	calls->endpoints = hash_create("wf endpoints", 16, &control,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int stage = 0; stage < WF_CALL_STAGES; stage++)
		dlist_init(&calls->stages[stage]);
}

WfCall *
wf_calls_find(WfCalls *calls, int64 effect_id)
{
	return hash_search(calls->table, &effect_id, HASH_FIND, NULL);
}

/*
 * How many more calls may be claimed.  What only waits to be told, or is done
 * with, takes no room, nor does what stands aside: else the lines before a few
 * slow endpoints would take that of all others.
 */
int
wf_calls_room(const WfCalls *calls)
{
	return wf_max_in_flight - (int) hash_get_num_entries(calls->table) +
		calls->nstage[WF_CALL_SETTLED] + calls->nstage[WF_CALL_TOLD] +
		calls->nstage[WF_CALL_ASIDE];
}

/*
 * Whether one more may stand aside at an endpoint.
 */
bool
wf_calls_has_place_aside(const WfCalls *calls, const WfEndpoint *endpoint)
{
	return endpoint->naside < endpoint->max &&
		calls->nstage[WF_CALL_ASIDE] < wf_max_in_flight;
}

/*
 * How many more jobs could go or stand aside at the endpoints that had too many
 * when everything was looked at.
 */
int
wf_calls_room_in_crowd(const WfCalls *calls)
{
	HASH_SEQ_STATUS all;
	WfEndpoint *endpoint;
	int			room = 0;

	hash_seq_init(&all, calls->endpoints);
	while ((endpoint = hash_seq_search(&all)) != NULL)
		if (endpoint->is_crowded)
			room += Max(0, endpoint->max - endpoint->nbusy) +
				Max(0, endpoint->max - endpoint->naside);

	return room;
}

bool
wf_calls_is_crowded(WfCalls *calls, int32 endpoint_id)
{
	const WfEndpoint *endpoint = hash_search(calls->endpoints, &endpoint_id, HASH_FIND, NULL);

	return endpoint != NULL && endpoint->is_crowded;
}

void
wf_calls_forget_crowd(WfCalls *calls)
{
	HASH_SEQ_STATUS all;
	WfEndpoint *endpoint;

	hash_seq_init(&all, calls->endpoints);
	while ((endpoint = hash_seq_search(&all)) != NULL)
		endpoint->is_crowded = false;
}

/*
 * Finds or makes the endpoint of an effect, with what it allows now.
 */
static WfEndpoint *
endpoint_of(WfCalls *calls, const WfRoute *route)
{
	bool		found;
	WfEndpoint *endpoint = hash_search(calls->endpoints, &route->endpoint_id, HASH_ENTER,
									   &found);

	if (!found)
	{
		endpoint->nbusy = 0;
		endpoint->naside = 0;
		endpoint->nline = 0;
		endpoint->is_crowded = false;
		endpoint->average_ms = FIRST_AVERAGE_MS;
		endpoint->moved_at = GetCurrentTimestamp();
		endpoint->max = FIRST_AT_START;
		endpoint->grown_at = GetCurrentTimestamp();
		endpoint->breaker_since = route->breaker_since;
	}
	if (endpoint->breaker_since != route->breaker_since)
	{
		endpoint->max = FIRST_AFTER_BREAKER;
		endpoint->grown_at = GetCurrentTimestamp();
		endpoint->breaker_since = route->breaker_since;
	}
	endpoint->declared = Max(route->max_in_flight, 1);
	wf_endpoint_grow(endpoint);

	return endpoint;
}

/*
 * Lets the room grow by the time that has passed.
 */
void
wf_endpoint_grow(WfEndpoint *endpoint)
{
	TimestampTz now = GetCurrentTimestamp();

	while (endpoint->max < endpoint->declared &&
		   TimestampDifferenceExceeds(endpoint->grown_at, now, GROW_MS))
	{
		endpoint->grown_at = TimestampTzPlusMilliseconds(endpoint->grown_at, GROW_MS);
		endpoint->max *= 2;
	}
	endpoint->max = Min(endpoint->max, endpoint->declared);
}

/*
 * When one that stands aside may go because the room has grown; 0 when none
 * does.
 */
TimestampTz
wf_calls_grow_at(WfCalls *calls)
{
	HASH_SEQ_STATUS all;
	WfEndpoint *endpoint;
	TimestampTz first = 0;

	if (calls->nstage[WF_CALL_ASIDE] == 0)
		return 0;
	hash_seq_init(&all, calls->endpoints);
	while ((endpoint = hash_seq_search(&all)) != NULL)
	{
		TimestampTz at = TimestampTzPlusMilliseconds(endpoint->grown_at, GROW_MS + 1);

		if (endpoint->naside > 0 && endpoint->max < endpoint->declared)
			first = first == 0 ? at : Min(first, at);
	}

	return first;
}

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

void
wf_call_copy_job(WfJob *copy, const WfJob *job)
{
	*copy = *job;
	copy->queue = copy_text(job->queue);
	copy->kind = copy_text(job->kind);
	copy->status = copy_text(job->status);
	copy->state = copy_text(job->state);
	copy->token = copy_text(job->token);
	copy->worker = copy_text(job->worker);
	copy->payload = NULL;
}

/*
 * Makes the call of a job that was just claimed; NULL when its effect has one.
 */
WfCall *
wf_call_make(WfCalls *calls, const WfJob *job, const WfRoute *route)
{
	WfEndpoint *endpoint = endpoint_of(calls, route);
	bool		found;
	WfCall	   *call = hash_search(calls->table, &job->effect_id, HASH_ENTER, &found);
	MemoryContext caller;

	if (endpoint->nline > 0)
		endpoint->nline--;
	if (endpoint->nbusy == 0)
		endpoint->moved_at = GetCurrentTimestamp();
	if (found)
		return NULL;
	memset((char *) call + sizeof(call->effect_id), 0,
		   sizeof(WfCall) - sizeof(call->effect_id));
	call->calls = calls;
	call->endpoint = endpoint;
	call->stage = call->stage_before = WF_CALL_NEW;
	dlist_push_tail(&calls->stages[WF_CALL_NEW], &call->node);
	calls->nstage[WF_CALL_NEW]++;
	call->context = AllocSetContextCreate(calls->context, "wf call",
										  ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(call->context);
	wf_call_copy_job(&call->job, job);
	MemoryContextSwitchTo(caller);

	return call;
}

static void
count_call(WfCall *call, int by)
{
	call->calls->nstage[call->stage] += by;
	if (call->stage == WF_CALL_ASIDE)
		call->endpoint->naside += by;
	else if (call->stage >= WF_CALL_CHOSEN && call->stage <= WF_CALL_FINISHED)
		call->endpoint->nbusy += by;
}

/*
 * Moves a call to the end of another stage's list.
 */
void
wf_call_move(WfCall *call, WfCallStage stage)
{
	count_call(call, -1);
	dlist_delete(&call->node);
	call->stage = stage;
	dlist_push_tail(&call->calls->stages[stage], &call->node);
	count_call(call, 1);
}

/*
 * The same, outside of transactions: no rollback takes it back.
 */
void
wf_call_move_for_good(WfCall *call, WfCallStage stage)
{
	wf_call_move(call, stage);
	call->stage_before = stage;
}

/*
 * Outside of transactions, or in one whose end does not matter to it: the call
 * waits in a stage to be tried again, longer each time.
 */
void
wf_call_put_off(WfCall *call, WfCallStage stage)
{
	long		ms = 50L << Min(call->failures++, 5);

	call->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	if (call->stage != stage)
		wf_call_move_for_good(call, stage);
}

/*
 * When the first call of a stage is to be tried again; 0 when there is none.
 */
TimestampTz
wf_calls_retry_at(const WfCalls *calls, WfCallStage stage)
{
	TimestampTz first = DT_NOEND;
	dlist_head *list = unconstify(dlist_head *, &calls->stages[stage]);
	dlist_iter	iter;

	if (calls->nstage[stage] == 0)
		return 0;
	dlist_foreach(iter, list)
		first = Min(first, dlist_container(WfCall, node, iter.cur)->retry_at);

	return Max(first, 1);
}

bool
wf_calls_is_due(const WfCalls *calls, WfCallStage stage)
{
	return calls->nstage[stage] > 0 &&
		wf_calls_retry_at(calls, stage) <= GetCurrentTimestamp();
}

void
wf_call_forget(WfCall *call)
{
	count_call(call, -1);
	dlist_delete(&call->node);
	MemoryContextDelete(call->context);
	(void) hash_search(call->calls->table, &call->effect_id, HASH_REMOVE, NULL);
}

/*
 * How long a job that is given back now has to wait for its turn, as far as
 * one can tell: half of that, because coming too early costs less than coming
 * too late.  While nothing ends, the guess grows.
 */
long
wf_endpoint_line_ms(WfEndpoint *endpoint)
{
	long		stalled_ms = TimestampDifferenceMilliseconds(endpoint->moved_at,
															 GetCurrentTimestamp());
	double		call_ms = Max(endpoint->average_ms, (double) stalled_ms);
	double		wait_ms = (double) ++endpoint->nline / endpoint->max * call_ms / 2;
	long		ms = (long) Min(wait_ms, (double) MAX_LINE_MS);

	return (ms / LINE_STEP_MS + 1) * LINE_STEP_MS;
}

void
wf_endpoint_call_ended(WfEndpoint *endpoint, const WfHttpResult *result)
{
	endpoint->average_ms = endpoint->average_ms * 0.8 + result->total_ms * 0.2;
	endpoint->moved_at = GetCurrentTimestamp();
	if (result->status == 0 || result->status >= 500)
		endpoint->grown_at = endpoint->moved_at;
	else
		endpoint->max = Min(endpoint->max + 1, endpoint->declared);
}

/*
 * The transaction that moved calls is committed: what is recorded is done
 * with, the rest stays where it is.
 */
void
wf_calls_keep(WfCalls *calls)
{
	HASH_SEQ_STATUS all;
	WfCall	   *call;

	hash_seq_init(&all, calls->table);
	while ((call = hash_seq_search(&all)) != NULL)
	{
		if (call->stage == WF_CALL_TOLD)
			wf_call_forget(call);
		else
			call->stage_before = call->stage;
	}
}

/*
 * The transaction that moved calls is rolled back, and so are they.
 */
void
wf_calls_undo(WfCalls *calls)
{
	HASH_SEQ_STATUS all;
	WfCall	   *call;

	hash_seq_init(&all, calls->table);
	while ((call = hash_seq_search(&all)) != NULL)
	{
		call->wire = NULL;
		if (call->stage_before < WF_CALL_SETTLED)
			memset(&call->fault, 0, sizeof(call->fault));
		if (call->stage_before == WF_CALL_NEW)
			wf_call_forget(call);
		else if (call->stage != call->stage_before)
			wf_call_move(call, call->stage_before);
	}
}
