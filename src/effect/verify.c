/*
 * verify.c
 *	  What is special about verifying what an endpoint declares.
 *
 * A verification is an effect that is sent once more after its success, as
 * after an unknown outcome: each send is an attempt of its own, with a token
 * of its own, committed before a byte leaves.  Between the sends the effect is
 * pending, so a crash loses nothing.  What is there may be read after each of
 * the sends; such a reading goes the way of the read before an action.
 *
 * The steps, and what they show, stand in workflow.verification; sql/verification.sql
 * judges them.  Other effects pay one comparison for all this.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/verify.h"
#include "utils/builtins.h"

static WfPlan step_plan = {
	.name = "step of verification",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT coalesce(step, '') FROM workflow.verification WHERE effect_id = $1::int8",
};

static WfPlan note_plan = {
	.name = "note step of verification",
	.expected = SPI_OK_SELECT,
	.nargs = 5,
	.argtypes = {INT8OID, JSONBOID, TEXTOID, TEXTOID, TEXTOID},
	.sql = "SELECT goes_on, conclusion "
	"FROM workflow._note_verification($1::int8, $2::jsonb, $3::text, $4::text, $5::text)",
};

bool
wf_effect_is_verification(const WfEffect *effect)
{
	return strcmp(effect->kind, "verify") == 0;
}

static const char *
step_of(const WfEffect *effect)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	return wf_plan_execute(&step_plan, &id, NULL) == 0 ? "" : wf_result_text(0, 1);
}

/*
 * Whether what is there is to be read now.
 */
bool
wf_verification_reads(const WfEffect *effect)
{
	return strncmp(step_of(effect), "reading", 7) == 0;
}

/*
 * What the receiver says about the copy, beside its answer.
 */
static const char *
mark_of(const WfNews *news, const WfEndpoint *endpoint)
{
	if (news->exchange == NULL)
		return NULL;
	if (wf_has_marker(news->exchange->headers, endpoint->ignored_marker))
		return "ignored";
	if (wf_has_marker(news->exchange->headers, endpoint->replay_marker))
		return "replayed";

	return list_member_int(endpoint->already_done, news->exchange->status) ? "already_done" : NULL;
}

static char *
note(const WfEffect *effect, const WfEndpoint *endpoint, const WfNews *news,
	 const char *problem, bool *goes_on)
{
	const char *mark = mark_of(news, endpoint);
	Datum		values[5];
	char		nulls[6] = {
		' ', WF_NULL_FLAG(news->answer.response), WF_NULL_FLAG(news->external_id),
		WF_NULL_FLAG(mark), WF_NULL_FLAG(problem), '\0'
	};
	bool		isnull;
	Datum		value;

	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = PointerGetDatum(news->answer.response);
	values[2] = wf_text_datum(news->external_id);
	values[3] = wf_text_datum(mark);
	values[4] = wf_text_datum(problem);
	wf_plan_execute(&note_plan, values, nulls);
	value = wf_result_datum(0, 1, &isnull);
	*goes_on = !isnull && DatumGetBool(value);

	return wf_result_text(0, 2);
}

/*
 * Whether the copy was answered.  One that is accepted has been, whether or not
 * it is done by now.
 */
static bool
is_answer(const WfNews *news, const WfSettlement *settlement)
{
	const char *substate = news->verdict.substate;

	if (settlement->disposition == WF_EFFECT_BEFORE_DONE ||
		(substate != NULL && strcmp(substate, "accepted") == 0))
		return true;

	return settlement->disposition == WF_EFFECT_SUCCEEDED &&
		news->finding == WF_FINDING_NONE && news->verdict.evidence == WF_APPLIED;
}

/*
 * Changes what becomes of the effect, and returns what the verification has
 * shown when it is over; NULL when it is not.
 *
 * Until the first success it is an effect as any other.  After that it was
 * applied, whatever becomes of the second copy; so nobody is asked.
 */
char *
wf_verification_go_on(const WfEffect *effect, const WfEndpoint *endpoint, const WfNews *news,
					  const char *problem, WfSettlement *settlement)
{
	bool		is_answered = is_answer(news, settlement);
	bool		goes_on;
	char	   *conclusion;

	if (settlement->disposition == WF_EFFECT_AGAIN || settlement->disposition == WF_EFFECT_BLOCKED)
		return NULL;
	if (!is_answered && settlement->disposition != WF_EFFECT_SUCCEEDED &&
		strcmp(step_of(effect), "first") == 0)
		return NULL;
	if (!is_answered && problem == NULL)
		problem = "a lookup has found it";
	conclusion = note(effect, endpoint, news, is_answered ? NULL : problem, &goes_on);
	settlement->disposition = goes_on ? WF_EFFECT_BEFORE_DONE : WF_EFFECT_SUCCEEDED;
	settlement->unknown_attempts = 0;

	return conclusion;
}
