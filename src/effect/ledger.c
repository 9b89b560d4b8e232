/*
 * ledger.c
 *	  The ledger of outside actions.
 */
#include "postgres.h"

#include "effect/effect.h"

WfReservation
wf_effect_reserve(const WfIntent *intent, int64 *effect_id)
{
	elog(ERROR, "wf_effect_reserve is not built yet");
	return WF_RESERVED;
}

WfWire *
wf_effect_begin_send(int64 effect_id, const char *worker,
					 WfEffectOutcome *outcome)
{
	elog(ERROR, "wf_effect_begin_send is not built yet");
	return NULL;
}

WfEffectOutcome
wf_effect_record(int64 effect_id, const char *token,
				 const WfExchange *exchange, Jsonb *policy)
{
	WfEffectOutcome outcome = {0};

	elog(ERROR, "wf_effect_record is not built yet");
	return outcome;
}

List *
wf_effect_reclaim_lost(int limit)
{
	elog(ERROR, "wf_effect_reclaim_lost is not built yet");
	return NIL;
}

WfEffectOutcome
wf_effect_standing(int64 effect_id)
{
	WfEffectOutcome outcome = {0};

	elog(ERROR, "wf_effect_standing is not built yet");
	return outcome;
}

void
wf_effect_cancel_visit(int64 item_id, int seq)
{
	elog(ERROR, "wf_effect_cancel_visit is not built yet");
}

int
wf_effect_max_in_flight(int64 effect_id, int32 *endpoint_id)
{
	elog(ERROR, "wf_effect_max_in_flight is not built yet");
	return 0;
}
