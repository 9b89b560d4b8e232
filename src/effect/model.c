/*
 * model.c
 *	  Calls of models: what the ledger does about them that it does about no
 *	  other effect.
 *
 * A call of a model changes nothing outside and costs money: so the answer to
 * the same request is used again, what a call is thought to take is reserved
 * before it begins, and an answer that cannot be used is a failure although the
 * exchange succeeded.  A call is slow beside any statement, so all of this is
 * in SQL (sql/model.sql).
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/turn.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "effect/model.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan record_plan = {
	.name = "record answer of model",
	.expected = SPI_OK_SELECT,
	.nargs = 4,
	.argtypes = {INT8OID, JSONBOID, JSONBOID, TIMESTAMPTZOID},
	.sql = "SELECT r.model_output_id, r.output, r.error_class, r.substate, r.message, r.again "
	"FROM workflow._record_model_answer($1::int8, $2::jsonb, $3::jsonb, $4::timestamptz) AS r",
};

static WfPlan reuse_plan = {
	.name = "reuse answer of model",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "SELECT workflow._reuse_model_output($1::int8, $2::timestamptz)",
};

static WfPlan begin_plan = {
	.name = "begin call of model",
	.expected = SPI_OK_SELECT,
	.passes = "model_call",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "SELECT b.verdict, b.until, b.waiting_on, b.message "
	"FROM workflow._begin_model_call($1::int8, $2::timestamptz) AS b",
};

static WfPlan take_back_plan = {
	.name = "take back call of model",
	.expected = SPI_OK_DELETE,
	.passes = "model_call",
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "DELETE FROM workflow.model_call WHERE effect_id = $1::int8 AND attempt = $2::int4",
};

static WfPlan end_plan = {
	.name = "end call of model",
	.expected = SPI_OK_SELECT,
	.passes = "model_call",
	.nargs = 4,
	.argtypes = {INT8OID, INT4OID, INT8OID, BOOLOID},
	.sql = "SELECT workflow._end_model_call($1::int8, $2::int4, $3::int8, $4::bool)",
};

static WfPlan too_long_plan = {
	.name = "says that it is too long",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 1,
	.argtypes = {JSONBOID},
	.sql = "SELECT workflow._says_too_long($1::jsonb)",
};

static WfPlan tokens_plan = {
	.name = "tokens of model output",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT least(coalesce(input_tokens, 0) + coalesce(output_tokens, 0) + "
	"coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0), 2147483647)::int4 "
	"FROM workflow.model_output WHERE model_output_id = $1::int8 "
	"AND coalesce(input_tokens, output_tokens) IS NOT NULL",
};

static bool
is_model(const WfEffect *effect)
{
	return strcmp(effect->kind, "model") == 0;
}

/* -------------------------------------------------------------------- request */

/*
 * Whether the call follows a provider's API of that name, or of any.
 */
static bool
has_profile(const WfEffect *effect, const char *name)
{
	char	   *profile = is_model(effect) ? wf_jsonb_get_text(effect->spec, "profile") : NULL;

	return profile != NULL && (name == NULL || strcmp(profile, name) == 0);
}

/*
 * See model.h.
 */
const char *
wf_model_api_version(const WfEffect *effect)
{
	return has_profile(effect, "anthropic") ? "2023-06-01" : NULL;
}

/*
 * See model.h.
 */
void
wf_model_heed_profile(const WfEffect *effect, WfEndpoint *endpoint)
{
	if (endpoint->retry_header == NULL && has_profile(effect, NULL))
		endpoint->retry_header = "x-should-retry";
}

/* --------------------------------------------------------------------- answer */

/*
 * See model.h.
 */
Jsonb *
wf_model_read(const WfEffect *effect, const WfAnswer *answer, WfVerdict *verdict,
			  int64 *model_output_id)
{
	Datum		values[4] = {
		Int64GetDatum(effect->effect_id), JsonbPGetDatum(answer->response),
		JsonbPGetDatum(answer->body), TimestampTzGetDatum(wf_now())
	};

	if (answer->body == NULL)
	{
		verdict->action = WF_ACT_FAIL;
		verdict->error_class = "validation";
		verdict->message = "the model's answer is not JSON";
		return NULL;
	}
	wf_plan_execute(&record_plan, values, NULL);
	*model_output_id = wf_result_int8(0, 1);
	if (wf_result_is_null(0, 3))
		return DatumGetJsonbPCopy(wf_result_datum(0, 2, NULL));
	verdict->error_class = wf_result_text(0, 3);
	verdict->substate = wf_result_text(0, 4);
	verdict->message = wf_result_text(0, 5);
	verdict->action = WF_ACT_FAIL;
	if (DatumGetBool(wf_result_datum(0, 6, NULL)))
	{
		verdict->action = WF_ACT_RETRY;
		verdict->evidence = WF_NOT_APPLIED;
		verdict->is_charged = strcmp(verdict->error_class, "rate_limited") != 0;
	}

	return NULL;
}

/*
 * See model.h.
 */
void
wf_model_judge_refusal(const WfEffect *effect, const WfExchange *exchange, Jsonb *body,
					   WfVerdict *verdict)
{
	Jsonb	   *error = body == NULL ? NULL : wf_jsonb_get_jsonb(body, "error");
	Datum		value = PointerGetDatum(error);

	if (!is_model(effect) || verdict->action != WF_ACT_FAIL ||
		(exchange->status != 400 && exchange->status != 413 && exchange->status != 422))
		return;
	if (exchange->status != 413 &&
		(error == NULL || wf_plan_execute(&too_long_plan, &value, NULL) == 0 ||
		 !DatumGetBool(wf_result_datum(0, 1, NULL))))
		return;
	verdict->error_class = "validation";
	verdict->substate = "context_too_long";
	verdict->message = "the request is longer than the model takes";
}

/*
 * The tokens that an answer took; -1 when it does not say.
 */
int
wf_effect_model_tokens(int64 model_output_id)
{
	Datum		id = Int64GetDatum(model_output_id);

	return model_output_id == 0 || wf_plan_execute(&tokens_plan, &id, NULL) == 0 ?
		-1 : wf_result_int4(0, 1);
}

/* -------------------------------------------------------------- begin and end */

PG_FUNCTION_INFO_V1(wf_inner_try_budget);

/*
 * _try_budget(workflow text) returns boolean
 */
Datum
wf_inner_try_budget(PG_FUNCTION_ARGS)
{
	text	   *workflow = PG_GETARG_TEXT_PP(0);
	uint32		hash = hash_bytes((const unsigned char *) VARDATA_ANY(workflow),
								  VARSIZE_ANY_EXHDR(workflow));

	PG_RETURN_BOOL(wf_try_turn(WF_TURN_BUDGET, 0, hash));
}

/*
 * See effect.h.
 */
bool
wf_effect_reuse_output(int64 effect_id)
{
	Datum		values[2] = {Int64GetDatum(effect_id), TimestampTzGetDatum(wf_now())};

	wf_plan_execute(&reuse_plan, values, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

static void
wait_for_call(const WfEffect *effect, WfEffectOutcome *outcome)
{
	static const char *const reasons[] = {"budget", "same_request"};
	const char *waiting_on = wf_result_text(0, 3);

	memset(outcome, 0, sizeof(*outcome));
	outcome->effect_id = effect->effect_id;
	outcome->disposition = WF_EFFECT_AGAIN;
	outcome->next_at = DatumGetTimestampTz(wf_result_datum(0, 2, NULL));
	outcome->message = wf_result_text(0, 4);
	outcome->waiting_on = reasons[strcmp(waiting_on, reasons[0]) == 0 ? 0 : 1];
}

/*
 * See model.h.
 */
bool
wf_model_stops(const WfEffect *effect, WfEffectOutcome *outcome)
{
	Datum		values[2] = {
		Int64GetDatum(effect->effect_id), TimestampTzGetDatum(wf_now())
	};
	const char *verdict;

	if (!is_model(effect))
		return false;
	wf_plan_execute(&begin_plan, values, NULL);
	verdict = wf_result_text(0, 1);
	if (strcmp(verdict, "go") == 0)
		return false;
	if (strcmp(verdict, "reused") == 0)
		*outcome = wf_outcome_of(wf_effect_read(effect->effect_id));
	else
		wait_for_call(effect, outcome);

	return true;
}

/*
 * See model.h.
 */
void
wf_model_take_back(const WfEffect *effect)
{
	Datum		values[2] = {
		Int64GetDatum(effect->effect_id), Int32GetDatum(effect->attempts + 1)
	};

	if (is_model(effect))
		wf_plan_execute(&take_back_plan, values, NULL);
}

/*
 * What was charged for an attempt is settled when it is over.  What was refused
 * cost nothing; of what broke off, that is not known.
 */
void
wf_model_end(const WfEffect *effect, const WfNews *news)
{
	Datum		values[4];
	char		nulls[] = "    ";
	const WfExchange *exchange = news->exchange;

	if (!is_model(effect) || !wf_effect_is(effect, "sending"))
		return;
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = Int32GetDatum(effect->attempts);
	values[2] = Int64GetDatum(news->model_output_id);
	nulls[2] = news->model_output_id == 0 ? 'n' : ' ';
	values[3] = BoolGetDatum(exchange != NULL && (exchange->phase == 0 || exchange->status >= 300));
	wf_plan_execute(&end_plan, values, nulls);
}
