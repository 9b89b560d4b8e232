/*
 * standing.c
 *	  Where an effect stands, and how many may be under way.
 */
#include "postgres.h"

#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/timestamp.h"

static WfPlan model_output_plan = {
	.name = "model output",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT coalesce(o.output, s.output) FROM workflow.model_output AS o "
	"LEFT JOIN workflow.model_output AS s ON s.model_output_id = o.cached_from "
	"WHERE o.model_output_id = $1::int8",
};

static WfPlan endpoints_plan = {
	.name = "endpoints of effects",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql = "SELECT effect_id, endpoint_id FROM workflow.effect "
	"WHERE effect_id = ANY ($1::int8[])",
};

static const struct
{
	const char *state;
	WfDisposition disposition;
}			standings[] = {
	{"pending", WF_EFFECT_AGAIN},
	{"claimed", WF_EFFECT_UNKNOWN},
	{"sending", WF_EFFECT_UNKNOWN},
	{"unknown", WF_EFFECT_UNKNOWN},
	{"succeeded", WF_EFFECT_SUCCEEDED},
	{"failed", WF_EFFECT_FAILED},
	{"held", WF_EFFECT_HELD},
	{"blocked", WF_EFFECT_BLOCKED},
	{"dead", WF_EFFECT_DEAD},
	{"cancelled", WF_EFFECT_FAILED},
};

static WfDisposition
disposition_of(const char *state)
{
	for (int i = 0; i < lengthof(standings); i++)
		if (strcmp(standings[i].state, state) == 0)
			return standings[i].disposition;
	elog(ERROR, "effect state \"%s\" is unknown", state);
	return WF_EFFECT_UNKNOWN;
}

static Jsonb *
result_of(const WfEffect *effect)
{
	Datum		id = Int64GetDatum(effect->model_output_id);

	if (strcmp(effect->kind, "model") != 0 || effect->model_output_id == 0)
		return effect->response;
	if (wf_plan_execute(&model_output_plan, &id, NULL) == 0 || wf_result_is_null(0, 1))
		return NULL;

	return DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
}

/*
 * Returns where an effect stands as its row says.
 */
WfEffectOutcome
wf_outcome_of(const WfEffect *effect)
{
	WfEffectOutcome outcome = {0};

	outcome.effect_id = effect->effect_id;
	outcome.disposition = disposition_of(effect->state);
	outcome.next_at = effect->next_at;
	outcome.is_of_item = strcmp(effect->kind, "http") == 0 || strcmp(effect->kind, "model") == 0;
	if (wf_effect_is(effect, "unknown") && effect->token == NULL)
		outcome.disposition = WF_EFFECT_AGAIN;	/* to be looked up */
	outcome.error_class = effect->error_class;
	outcome.message = effect->reason;
	outcome.model_output_id = effect->model_output_id;
	if (outcome.disposition == WF_EFFECT_SUCCEEDED)
		outcome.result = result_of(effect);
	if (wf_effect_is(effect, "cancelled") && outcome.error_class == NULL)
		outcome.error_class = "permanent";

	return outcome;
}

WfEffectOutcome
wf_effect_standing(int64 effect_id)
{
	MemoryContext caller = CurrentMemoryContext;

	return wf_outcome_deliver(wf_outcome_of(wf_effect_read(effect_id)), caller);
}

WfEffectOutcome
wf_effect_hold_standing(int64 effect_id)
{
	MemoryContext caller = CurrentMemoryContext;
	WfEffect   *effect = wf_effect_try_lock(effect_id);
	WfEffectOutcome busy = {.effect_id = effect_id,.disposition = WF_EFFECT_BUSY};

	return effect == NULL ? busy : wf_outcome_deliver(wf_outcome_of(effect), caller);
}

static void
find_endpoints(WfRoute *routes, int n)
{
	WfRows	   *ids = wf_rows_make(&endpoints_plan);
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		Datum		id = Int64GetDatum(routes[i].effect_id);

		routes[i].endpoint_id = 0;
		wf_rows_add(ids, &id, NULL);
	}
	found = wf_rows_execute(ids);
	for (uint64 row = 0; row < found; row++)
	{
		int64		effect_id = wf_result_int8(row, 1);

		for (int i = 0; i < n; i++)
			if (routes[i].effect_id == effect_id)
				routes[i].endpoint_id = wf_result_int4(row, 2);
	}
}

/*
 * An endpoint whose server is gone is asked one at a time: each will block.
 */
void
wf_effect_find_routes(WfRoute *routes, int n)
{
	List	   *endpoints = NIL;

	find_endpoints(routes, n);
	for (int i = 0; i < n; i++)
	{
		WfEndpoint *endpoint = routes[i].endpoint_id == 0 ? NULL :
		wf_endpoint_among(&endpoints, routes[i].endpoint_id);

		routes[i].max_in_flight = endpoint == NULL ? 1 : endpoint->max_in_flight;
		routes[i].breaker_since = endpoint == NULL ? 0 : endpoint->flow.breaker_since;
	}
}
