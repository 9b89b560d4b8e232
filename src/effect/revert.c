/*
 * revert.c
 *	  What is special about taking an effect back.
 *
 * A revert overwrites its target, so it is sent only where that is as the
 * effect has left it.  Either its target is read first, each time anew, and
 * judged by workflow._check_revert(); or it carries the entity tag of what the
 * effect left, and the receiver judges.  Where somebody else has changed the
 * target the revert is held: nothing was sent, or it was refused.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"

#define PRECONDITION_FAILED 412

static WfPlan check_revert_plan = {
	.name = "check revert",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, JSONBOID},
	.sql = "SELECT workflow._check_revert($1::int8, $2::jsonb)",
};

static WfPlan count_refusal_plan = {
	.name = "count refusal of revert",
	.expected = SPI_OK_UPDATE,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "UPDATE workflow.effect SET spec = spec || pg_catalog.jsonb_build_object('refused', "
	"coalesce((spec ->> 'refused')::int4, 0) + 1) WHERE effect_id = $1::int8",
};

bool
wf_effect_is_revert(const WfEffect *effect)
{
	return strcmp(effect->kind, "revert") == 0;
}

/*
 * Whether the target has to be read before this attempt.
 */
bool
wf_revert_needs_reading(const WfEffect *effect)
{
	return wf_effect_is_revert(effect) &&
		(effect->substate == NULL || strcmp(effect->substate, WF_TARGET_CHECKED) != 0);
}

static void
hold(WfNews *news, const char *why)
{
	news->verdict.action = WF_ACT_HOLD;
	news->verdict.evidence = WF_NOT_APPLIED;
	news->verdict.error_class = "conflict";
	news->verdict.substate = WF_TARGET_CHANGED;
	news->explanation = why;
}

/*
 * The target has been read.
 */
void
wf_revert_judge_reading(const WfEffect *effect, WfNews *news)
{
	Datum		values[2] = {
		Int64GetDatum(effect->effect_id), JsonbPGetDatum(news->answer.response)
	};
	char	   *problem;

	wf_plan_execute(&check_revert_plan, values, NULL);
	problem = wf_result_text(0, 1);
	if (problem == NULL)
		news->verdict.substate = WF_TARGET_CHECKED;
	else
		hold(news, problem);
}

/*
 * The revert was sent.  A precondition that failed is the tag's.
 */
void
wf_revert_judge_answer(const WfEffect *effect, WfNews *news)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	if (news->exchange->status != PRECONDITION_FAILED || news->verdict.action != WF_ACT_FAIL)
		return;
	wf_plan_execute(&count_refusal_plan, &id, NULL);
	hold(news, psprintf("the target has changed since: HTTP %d", PRECONDITION_FAILED));
}

/*
 * The key that is sent.  What is sent after a refusal has another condition or
 * none, and so is another request, of which the first is proven not applied: a
 * receiver may keep the refusal under the key that it came with.
 */
const char *
wf_revert_key(const WfEffect *effect)
{
	int			refused = wf_effect_is_revert(effect) ?
	wf_jsonb_get_int(effect->spec, "refused", 0) : 0;

	return refused == 0 ? effect->key : psprintf("%s#%d", effect->key, refused + 1);
}

/*
 * The entity tag that the target must have; NULL when there is none.
 */
char *
wf_revert_condition(const WfEffect *effect)
{
	return wf_effect_is_revert(effect) ? wf_jsonb_get_text(effect->spec, "if_match") : NULL;
}
