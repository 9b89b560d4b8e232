/*
 * reask.c
 *	  What a model is asked, and asked again.
 *
 * A state may say that an answer which its schema does not allow is asked for
 * once more, with the answer and what is wrong with it added to the
 * conversation.  The job of the visit goes on to the new effect, in the
 * transaction that makes it: whoever is told of the answer twice finds the job
 * at the next one.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/*
 * See item_internal.h.
 */
const char *
wf_item_model_path(Jsonb *activity)
{
	static const char *const paths[][2] = {
		{"anthropic", "/v1/messages"},
		{"openai", "/v1/chat/completions"},
		{"openai_responses", "/v1/responses"},
	};
	char	   *profile = wf_jsonb_get_text(activity, "profile");

	for (int i = 0; profile != NULL && i < lengthof(paths); i++)
		if (strcmp(paths[i][0], profile) == 0)
			return paths[i][1];

	return "";
}

/*
 * See item_internal.h.
 */
Jsonb *
wf_item_model_request(Jsonb *activity, Jsonb *rendered, Jsonb **estimate)
{
	static WfPlan plan = {
		.name = "request to model",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.nargs = 2,
		.argtypes = {JSONBOID, JSONBOID},
		.sql = "SELECT r.body, r.estimate FROM workflow._model_request($1::jsonb, $2::jsonb) AS r",
	};
	Datum		values[2] = {JsonbPGetDatum(activity), JsonbPGetDatum(rendered)};

	wf_plan_execute(&plan, values, NULL);
	*estimate = DatumGetJsonbPCopy(wf_result_datum(0, 2, NULL));

	return DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
}

typedef struct Question
{
	const WfJob *job;
	Jsonb	   *body;
	const char *at;				/* member of it: the conversation so far */
	Jsonb	   *entries;		/* templates of what is added */
	Jsonb	   *data;
	int64		effect_id;		/* that asks it */
} Question;

static bool
find_question(int64 effect_id, Question *question)
{
	static WfPlan plan = {
		.name = "question to model",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT q.body, q.at, q.entries, q.data FROM workflow._reask($1::int8) AS q",
	};
	Datum		id = Int64GetDatum(effect_id);

	if (wf_plan_execute(&plan, &id, NULL) == 0)
		return false;
	question->body = DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
	question->at = wf_result_text(0, 2);
	question->entries = DatumGetJsonbPCopy(wf_result_datum(0, 3, NULL));
	question->data = DatumGetJsonbPCopy(wf_result_datum(0, 4, NULL));

	return true;
}

static void
ask(void *argument)
{
	Question   *question = argument;
	Jsonb	   *said = wf_jsonb_get_jsonb(question->body, question->at);
	Jsonb	   *added = wf_render(question->entries, question->data);
	Datum		all = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(said), JsonbPGetDatum(added));

	question->effect_id = wf_effect_ask_again(question->job->effect_id, question->job->state, question->job->seq,
											  wf_jsonb_with(question->body, question->at, DatumGetJsonbP(all)));
}

/*
 * See item_internal.h.
 */
bool
wf_item_reask(const WfJob *job, const WfEffectOutcome *outcome)
{
	Question	question = {.job = job};
	WfFault		fault;

	if (outcome->model_output_id == 0 || strcmp(job->kind, "model") != 0 ||
		!find_question(outcome->effect_id, &question) ||
		!wf_item_try(ask, &question, &fault) || question.effect_id == 0)
		return false;
	wf_item_set_effect(job, question.effect_id);
	if (strcmp(job->status, "running") == 0)
		wf_queue_release(job, wf_now(), NULL);
	else
		wf_queue_unpark(job->job_id, wf_now(), true);

	return true;
}

/*
 * Whether the provider has turned a call away: that takes no tokens.
 */
static bool
was_refused(const WfEffectOutcome *outcome)
{
	static const char *const not_known[] = {"timeout", "connection", "unknown_outcome"};

	for (int i = 0; i < lengthof(not_known); i++)
		if (outcome->error_class == NULL || strcmp(outcome->error_class, not_known[i]) == 0)
			return false;

	return true;
}

/*
 * The units that a job of a model was charged with are an estimate: what was
 * not sent, or refused, takes none, and that is given back to the claim that was
 * charged; an answer says how many it took.  Of what broke off nobody knows.
 */
void
wf_item_settle_tokens(const WfJob *job, const WfEffectOutcome *outcome, bool was_sent)
{
	bool		is_over = outcome->disposition == WF_EFFECT_SUCCEEDED ||
	outcome->disposition == WF_EFFECT_FAILED;
	bool		is_claimed = strcmp(job->status, "running") == 0;
	int			tokens = -1;

	if (strcmp(job->kind, "model") != 0 || job->units <= 1)
		return;
	if (is_over)
		tokens = wf_effect_model_tokens(outcome->model_output_id);
	if (is_claimed && (!was_sent || (tokens < 0 && was_refused(outcome))))
		tokens = 0;
	if (tokens >= 0)
		wf_queue_settle_units(job, tokens);
}
