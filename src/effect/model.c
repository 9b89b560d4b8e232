/*
 * model.c
 *	  Answers of models: what they say, and what is kept about them.
 *
 * The selectors cover the answers of the two common provider APIs; what is not
 * found stays null.  A refusal or a truncation is a failure of its own class,
 * although the exchange succeeded: repeating it as it is would not mend it.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

typedef struct ModelFacts
{
	char	   *model;
	char	   *request_id;
	char	   *stop_reason;
	int64		input_tokens;	/* -1: not said */
	int64		output_tokens;
	Jsonb	   *output;			/* or NULL */
} ModelFacts;

static WfPlan insert_output_plan = {
	.name = "insert model output",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 10,
	.argtypes = {INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID,
	INT8OID, JSONBOID, TIMESTAMPTZOID},
	.sql = "INSERT INTO workflow.model_output (effect_id, item_id, version, model, "
	"request_id, stop_reason, input_tokens, output_tokens, output, created_at) "
	"VALUES ($1::int8, $2::int8, $3::text, $4::text, $5::text, $6::text, $7::int8, "
	"$8::int8, $9::jsonb, $10::timestamptz) RETURNING model_output_id",
};

/*
 * Returns the text of the first selector that finds something.
 */
static char *
find_text(Jsonb *target, const char *const *selectors)
{
	for (; *selectors != NULL; selectors++)
	{
		Jsonb	   *found = wf_select_first(target, *selectors);
		JsonbValue	value;

		if (found != NULL && JsonbExtractScalar(&found->root, &value) &&
			value.type != jbvNull)
			return wf_jsonb_value_text(&value);
	}

	return NULL;
}

static int64
find_count(Jsonb *target, const char *const *selectors)
{
	char	   *text = find_text(target, selectors);
	size_t		length = text == NULL ? 0 : strlen(text);

	if (length == 0 || length > 15 || strspn(text, "0123456789") != length)
		return -1;

	return strtoll(text, NULL, 10);
}

/*
 * A string that is JSON itself is what the model was asked to write.
 */
static Jsonb *
unwrap(Jsonb *output)
{
	JsonbValue	value;
	Jsonb	   *parsed;

	if (!JsonbExtractScalar(&output->root, &value) || value.type != jbvString)
		return output;
	parsed = wf_parse_json(value.val.string.val, value.val.string.len);

	return parsed != NULL ? parsed : output;
}

static ModelFacts
read_facts(const WfAnswer *answer, const char *selector)
{
	static const char *const models[] = {"$.model", NULL};
	static const char *const stops[] =
	{"$.stop_reason", "$.choices[0].finish_reason", "$.incomplete_details.reason", NULL};
	static const char *const inputs[] =
	{"$.usage.input_tokens", "$.usage.prompt_tokens", NULL};
	static const char *const outputs[] =
	{"$.usage.output_tokens", "$.usage.completion_tokens", NULL};
	static const char *const request_ids[] =
	{"$.headers.\"request-id\"", "$.headers.\"x-request-id\"", "$.body.id", NULL};
	ModelFacts	facts = {0};
	Jsonb	   *body = answer->body;

	facts.request_id = find_text(answer->response, request_ids);
	facts.model = find_text(body, models);
	facts.stop_reason = find_text(body, stops);
	facts.input_tokens = find_count(body, inputs);
	facts.output_tokens = find_count(body, outputs);
	facts.output = selector == NULL ? body : wf_select_first(body, selector);
	if (facts.output != NULL)
		facts.output = unwrap(facts.output);

	return facts;
}

static int64
store(const WfEffect *effect, const ModelFacts *facts)
{
	char	   *version = wf_jsonb_get_text(effect->spec, "version");
	Datum		values[10];
	char		nulls[11];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = Int64GetDatum(effect->item_id);
	values[2] = wf_text_datum(version);
	values[3] = wf_text_datum(facts->model);
	values[4] = wf_text_datum(facts->request_id);
	values[5] = wf_text_datum(facts->stop_reason);
	values[6] = Int64GetDatum(facts->input_tokens);
	values[7] = Int64GetDatum(facts->output_tokens);
	values[8] = PointerGetDatum(facts->output);
	values[9] = TimestampTzGetDatum(wf_now());
	nulls[1] = effect->item_id == 0 ? 'n' : ' ';
	nulls[2] = WF_NULL_FLAG(version);
	nulls[3] = WF_NULL_FLAG(facts->model);
	nulls[4] = WF_NULL_FLAG(facts->request_id);
	nulls[5] = WF_NULL_FLAG(facts->stop_reason);
	nulls[6] = facts->input_tokens < 0 ? 'n' : ' ';
	nulls[7] = facts->output_tokens < 0 ? 'n' : ' ';
	nulls[8] = WF_NULL_FLAG(facts->output);
	wf_plan_execute(&insert_output_plan, values, nulls);

	return wf_result_int8(0, 1);
}

static bool
is_one_of(const char *text, const char *one, const char *other)
{
	return text !=NULL && (strcmp(text, one) == 0 || strcmp(text, other) == 0);
}

static void
fail(WfVerdict *verdict, const char *error_class, const char *message)
{
	verdict->action = WF_ACT_FAIL;
	verdict->error_class = error_class;
	verdict->message = message;
}

/*
 * Reads and stores a model's answer.  Returns the output; turns the verdict
 * into a failure when there is none that can be used.
 */
Jsonb *
wf_model_read(const WfEffect *effect, const WfAnswer *answer, WfVerdict *verdict,
			  int64 *model_output_id)
{
	ModelFacts	facts;

	if (answer->body == NULL)
	{
		fail(verdict, "validation", "the model's answer is not JSON");
		return NULL;
	}
	facts = read_facts(answer, wf_jsonb_get_text(effect->spec, "output"));
	*model_output_id = store(effect, &facts);

	if (is_one_of(facts.stop_reason, "refusal", "content_filter"))
		fail(verdict, "refused", "the model refused to answer");
	else if (is_one_of(facts.stop_reason, "max_tokens", "length") ||
			 is_one_of(facts.stop_reason, "max_output_tokens", "model_context_window_exceeded"))
		fail(verdict, "truncated", "the model's answer was cut off");
	else if (facts.output == NULL)
		fail(verdict, "validation", "the output selector finds nothing in the model's answer");

	return verdict->action == WF_ACT_SUCCEED ? facts.output : NULL;
}
