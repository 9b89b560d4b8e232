/*
 * request.c
 *	  Entering http and model states: the outside action is intended here.
 *
 * Path, headers, body, key and the read-before request are rendered once, from
 * the data as it is on entry, and reserved in the ledger in the transaction of
 * the transition.  The revert request sees what was read before and answered
 * too, so its template travels as it is, with the entry data that it needs.
 */
#include "postgres.h"

#include <ctype.h>

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "utils/builtins.h"

typedef struct Request
{
	const WfVisit *visit;
	WfIntent	intent;
	WfPrepared *prepared;
	WfReservation verdict;
	int64		effect_id;
	int			units;			/* of the rate limit; 0: one */
} Request;

static bool
is_model(const WfVisit *visit)
{
	return visit->state->kind == WF_ACTIVITY_MODEL;
}

/*
 * The key of an http action is made of its identity, by the definition; every
 * visit to a model state has one of its own.
 */
static const char *
render_key(const WfVisit *visit)
{
	Jsonb	   *key = wf_jsonb_get_jsonb(visit->state->activity, "key");

	if (is_model(visit))
		return psprintf(INT64_FORMAT ":%s:%d", visit->item->item_id,
						visit->state->name, visit->item->seq);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("state \"%s\" has no idempotency key", visit->state->name),
				 errdetail("Its version was not stored by workflow.define()."),
				 errhint("Call workflow.define() with a document in which the state has a \"key\".")));

	return wf_render_action_key(key, visit->item->data);
}

static Jsonb *
render_member(Jsonb *object, const char *name, Jsonb *data)
{
	Jsonb	   *template = wf_jsonb_get_jsonb(object, name);

	return template == NULL ? NULL : wf_render(template, data);
}

static Jsonb *
render_before(Jsonb *before, Jsonb *data)
{
	Jsonb	   *rendered = wf_jsonb_empty_object();
	char	   *method = wf_jsonb_get_text(before, "method");
	char	   *path = wf_jsonb_get_text(before, "path");
	Jsonb	   *headers = render_member(before, "headers", data);

	rendered = wf_jsonb_with(rendered, "method",
							 wf_jsonb_from_text(method == NULL ? "GET" : method));
	if (path != NULL)
		rendered = wf_jsonb_with(rendered, "path",
								 wf_jsonb_from_text(wf_render_path(path, data)));
	if (headers != NULL)
		rendered = wf_jsonb_with(rendered, "headers", headers);

	return rendered;
}

/*
 * Whether a string may select more than members by their plain names: it has
 * a "$" by itself, a wildcard, a method, or a name that is written otherwise.
 */
static bool
may_select_anything(const char *string)
{
	if (strpbrk(string, "\\(") != NULL)
		return true;
	for (const char *dollar = strchr(string, '$'); dollar != NULL; dollar = strchr(dollar + 1, '$'))
		if (dollar[1] != '.' || !(dollar[2] == '_' || dollar[2] == '"' ||
								  isalpha((unsigned char) dollar[2]) || IS_HIGHBIT_SET(dollar[2])))
			return true;

	return false;
}

/*
 * Whether a template may refer to a member of the data, by its name anywhere
 * in a string.  Says yes rather too often.
 */
static bool
may_refer_to(Jsonb *template, const char *name)
{
	JsonbIterator *iterator = JsonbIteratorInit(&template->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		char	   *string;

		if ((token != WJB_VALUE && token != WJB_ELEM) || value.type != jbvString)
			continue;
		string = pnstrdup(value.val.string.val, value.val.string.len);
		if (strchr(string, '$') != NULL &&
			(strstr(string, name) != NULL || may_select_anything(string)))
			return true;
	}

	return false;
}

/*
 * The members of the data that a template may refer to.
 */
static Jsonb *
data_for(Jsonb *template, Jsonb *data)
{
	Jsonb	   *needed = data;
	int			count;
	WfMember   *members = wf_jsonb_members(wf_jsonb_root(data), &count);

	for (int i = 0; i < count; i++)
		if (!may_refer_to(template, members[i].key))
			needed = wf_jsonb_without(needed, members[i].key);

	return needed;
}

/*
 * How to go on after the action: see WfIntent.spec.
 */
static Jsonb *
render_spec(const WfVisit *visit)
{
	static const char *const as_they_are[] = {
		"external_id", "output", "version", "revert", "profile", "schema", "reask", "cache", "price",
	};
	Jsonb	   *activity = visit->state->activity;
	Jsonb	   *before = wf_jsonb_get_jsonb(activity, "before");
	Jsonb	   *revert = wf_jsonb_get_jsonb(activity, "revert");
	Jsonb	   *spec = wf_jsonb_empty_object();

	for (int i = 0; i < lengthof(as_they_are); i++)
	{
		Jsonb	   *value = wf_jsonb_get_jsonb(activity, as_they_are[i]);

		if (value != NULL)
			spec = wf_jsonb_with(spec, as_they_are[i], value);
	}
	if (before != NULL)
		spec = wf_jsonb_with(spec, "before", render_before(before, visit->item->data));
	if (revert != NULL)
		spec = wf_jsonb_with(spec, "data", data_for(revert, visit->item->data));

	return spec;
}

/*
 * Reads an interval of a document.
 */
static int64
interval_us(const char *text)
{
	Datum		interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1));

	return wf_interval_us(DatumGetIntervalP(interval));
}

static int
attempt_timeout_ms(const WfState *state)
{
	char	   *timeout = wf_jsonb_get_text(state->retry, "timeout");

	return timeout == NULL ? 0 : (int) Min(interval_us(timeout) / 1000, INT_MAX);
}

/*
 * A model is asked as its profile says, and is thought to take so many tokens.
 */
static void
render_question(Request *request)
{
	Jsonb	   *activity = request->visit->state->activity;
	WfIntent   *intent = &request->intent;
	char	   *units = wf_jsonb_get_text(activity, "units");
	Jsonb	   *estimate;

	intent->body = wf_item_model_request(activity, intent->body, &estimate);
	intent->spec = wf_jsonb_with(intent->spec, "estimate", estimate);
	if (units != NULL && strcmp(units, "tokens") == 0)
		request->units = Max(1, wf_jsonb_get_int(estimate, "input", 0) + wf_jsonb_get_int(estimate, "output", 0));
}

static void
render_intent(void *argument)
{
	Request    *request = argument;
	const WfVisit *visit = request->visit;
	Jsonb	   *activity = visit->state->activity;
	WfIntent   *intent = &request->intent;
	char	   *method = wf_jsonb_get_text(activity, "method");
	char	   *path = wf_jsonb_get_text(activity, "path");

	intent->endpoint = wf_jsonb_get_text(activity, "endpoint");
	intent->key = render_key(visit);
	intent->kind = is_model(visit) ? "model" : "http";
	intent->submitted_by = wf_role_name(wf_graph_definer(visit->graph));
	intent->item_id = visit->item->item_id;
	intent->item_state = visit->state->name;
	intent->item_seq = visit->item->seq;
	intent->method = method == NULL ? "POST" : method;
	intent->path = wf_render_path(path != NULL ? path : wf_item_model_path(activity), visit->item->data);
	intent->headers = render_member(activity, "headers", visit->item->data);
	intent->body = render_member(activity, "body", visit->item->data);
	intent->spec = render_spec(visit);
	if (is_model(visit))
		render_question(request);
	intent->content_type = wf_jsonb_get_text(activity, "content_type");
	intent->timeout_ms = attempt_timeout_ms(visit->state);
	intent->refused = visit->start_at > wf_now() ? WF_REFUSED_LATER : WF_REFUSED_BLOCKS;
	request->prepared = wf_effect_prepare(intent);
}

/*
 * Whether reserving may be refused: the key is known already.
 */
static bool
may_be_refused(const WfIntent *intent)
{
	static WfPlan plan = {
		.name = "find effect by key",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.sql = "SELECT 1 FROM workflow.endpoint AS p "
		"JOIN workflow.effect AS e ON e.endpoint_id = p.endpoint_id AND e.key = $2 "
		"WHERE p.endpoint = $1",
	};
	Datum		values[2];

	values[0] = CStringGetTextDatum(intent->endpoint);
	values[1] = CStringGetTextDatum(intent->key);

	return wf_plan_execute(&plan, values, NULL) > 0;
}

static void
reserve(void *argument)
{
	Request    *request = argument;

	request->verdict = wf_effect_reserve_prepared(request->prepared, &request->effect_id);
	if (request->verdict == WF_RESERVED && is_model(request->visit) &&
		request->intent.refused == WF_REFUSED_BLOCKS && wf_effect_reuse_output(request->effect_id))
		request->verdict = WF_RESERVED_DONE;
}

/*
 * Renders and reserves; a subtransaction is spent on the reservation only
 * where it may be refused.
 */
static bool
intend(Request *request, WfFault *fault)
{
	if (!wf_item_try(render_intent, request, fault))
		return false;
	if (may_be_refused(&request->intent))
		return wf_item_try(reserve, request, fault);
	reserve(request);

	return true;
}

/*
 * The action has been done before: its result is used and nothing is sent.
 */
static const WfItem *
use_result(const Request *request)
{
	const WfVisit *visit = request->visit;
	WfEffectOutcome outcome = wf_effect_standing(request->effect_id);
	WfMove		move = {0};

	move.event = "ok";
	move.kind = "engine";
	move.actor = visit->actor;
	move.reason = is_model(visit) && outcome.message != NULL ? outcome.message :
		psprintf("effect " INT64_FORMAT " had succeeded already", request->effect_id);
	move.event_data = outcome.result;
	move.data = wf_jsonb_with(visit->item->data, visit->state->result_key, outcome.result);

	return wf_item_move_on(visit->item, &move, true);
}

/* What the job of a reservation waits for; NULL: it is ready. */
static const char *
what_it_waits_for(const Request *request)
{
	switch (request->verdict)
	{
		case WF_RESERVED_BUSY:
			return "effect";
		case WF_RESERVED_BLOCKED:
			return "blocked";
		default:
			return NULL;
	}
}

/*
 * The job of an effect that is blocked says why; the maintenance worker looks
 * whether the cause has changed.
 */
static void
park_blocked(const WfJob *job, int64 effect_id)
{
	WfEffectOutcome outcome = wf_effect_standing(effect_id);

	wf_queue_park(job, "blocked", outcome.error_class, outcome.message);
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * Intends the action of the state and queues its sending.
 */
const WfItem *
wf_item_enter_request(const WfVisit *visit)
{
	Request		request = {.visit = visit};
	WfFault		fault;
	int64		job_id;

	if (!intend(&request, &fault))
		return wf_item_enter_failed(visit, &fault);
	if (request.verdict == WF_RESERVED_DONE)
		return use_result(&request);
	job_id = wf_item_enqueue_units(visit, request.intent.kind, what_it_waits_for(&request),
								   request.effect_id, request.units);
	if (request.verdict == WF_RESERVED_BLOCKED)
		park_blocked(wf_queue_lock(job_id), request.effect_id);

	return visit->item;
}

/*
 * The job goes on to another effect.
 */
void
wf_item_set_effect(const WfJob *job, int64 effect_id)
{
	static WfPlan plan = {
		.name = "set effect of job",
		.expected = SPI_OK_UPDATE,
		.nargs = 2,
		.argtypes = {INT8OID, INT8OID},
		.sql = "UPDATE workflow.job SET effect_id = $2 WHERE job_id = $1",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(job->job_id);
	values[1] = Int64GetDatum(effect_id);
	wf_plan_execute(&plan, values, NULL);
}

/*
 * A dead letter of the visit is taken up again: its request is rendered anew,
 * since the data may have been mended.
 */
void
wf_item_rearm_request(const WfVisit *visit, const WfJob *job)
{
	Request		request = {.visit = visit};
	WfFault		fault;

	if (!intend(&request, &fault))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the request of state \"%s\" cannot be made: %s",
						visit->state->name, fault.message),
				 errdetail("%s", wf_item_facts(visit->item)),
				 errhint("Give a patch that mends the data.")));
	if (request.verdict == WF_RESERVED_DONE)
	{
		wf_queue_drop(job->job_id);
		(void) use_result(&request);
		return;
	}
	wf_item_set_effect(job, request.effect_id);
	if (request.verdict == WF_RESERVED_BUSY)
		wf_queue_park(job, "effect", NULL, NULL);
	else if (request.verdict == WF_RESERVED_BLOCKED)
		park_blocked(job, request.effect_id);
	else
		wf_queue_unpark(job->job_id, wf_now(), true);
}
