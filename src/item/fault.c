/*
 * fault.c
 *	  Faults of an item's own data: they fail the item, not the transaction
 *	  that moved it.
 *
 * What a state needs is rendered from the item's data when it is entered.
 * Where that cannot be done, whoever moved the item (a worker's batch, a
 * person's decision) is not to blame: the state raises "error" with the fault
 * as its reason, and where nobody handles that, its job is a dead letter.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/jsonb.h"
#include "base/sqlstate.h"
#include "item/item_internal.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * The error class of a fault that belongs to the item; NULL for any other
 * error.
 */
static const char *
fault_class(int sqlstate)
{
	if (sqlstate == ERRCODE_WF_EFFECT_CONFLICT)
		return "conflict";
	if (sqlstate == ERRCODE_WF_ENDPOINT_REFUSED)
		return "permanent";
	if (sqlstate == ERRCODE_WF_SCHEMA_MISMATCH)
		return "schema";
	if (sqlstate == ERRCODE_WF_KEY_REUSED)
		return "conflict";
	if (sqlstate == ERRCODE_WF_UNKNOWN || sqlstate == ERRCODE_WF_PAUSED)
		return "not_found";
	if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION)
		return "validation";

	return NULL;
}

static void
note_fault(WfFault *fault)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	fault->error_class = fault_class(error->sqlerrcode);
	fault->message = error->detail == NULL ? error->message :
		psprintf("%s: %s", error->message, error->detail);
	if (fault->error_class == NULL)
		ReThrowError(error);
}

/*
 * Runs a function in a subtransaction.  Returns false, with the fault, when it
 * raised an error that the item's data is to blame for; raises any other one.
 */
bool
wf_item_try(WfFallible function, void *argument, WfFault *fault)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		function(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		ok = false;
		note_fault(fault);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	return ok;
}

/*
 * What an "error" event carries.
 */
Jsonb *
wf_item_error_data(const char *error_class, const char *message, Jsonb *detail)
{
	Jsonb	   *data = wf_jsonb_empty_object();

	data = wf_jsonb_with(data, "error_class", wf_jsonb_from_text(error_class));
	data = wf_jsonb_with(data, "message", wf_jsonb_from_text(message));
	if (detail != NULL)
		data = wf_jsonb_with(data, "detail", detail);

	return data;
}

static const char *
job_kind(const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_HTTP:
			return "http";
		case WF_ACTIVITY_MODEL:
			return "model";
		case WF_ACTIVITY_TASK:
			return "task";
		case WF_ACTIVITY_REVIEW:
			return "review";
		default:
			return NULL;
	}
}

static void
leave_dead_letter(const WfVisit *visit, const WfFault *fault)
{
	const char *kind = job_kind(visit->state);
	WfJob	   *job;

	if (kind == NULL || visit->state->queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("state \"%s\" cannot be entered: %s",
						visit->state->name, fault->message),
				 errdetail("%s", wf_item_facts(visit->item)),
				 errhint("Mend the data, or let the state handle the event \"error\".")));
	job = wf_queue_lock(wf_item_enqueue(visit, kind, "blocked", 0, NULL));
	wf_queue_bury(job, visit->state->retry, fault->error_class, fault->message, NULL);
}

/*
 * The activity of the visit could not be begun.
 */
const WfItem *
wf_item_enter_failed(const WfVisit *visit, const WfFault *fault)
{
	if (wf_state_transition(visit->state, "error") != NULL)
		return wf_item_raise(visit, "error", fault->message,
							 wf_item_error_data(fault->error_class, fault->message, NULL));
	leave_dead_letter(visit, fault);

	return visit->item;
}
