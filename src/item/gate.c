/*
 * gate.c
 *	  Gates: which way a number says that an item goes.
 *
 * A gate is decided with care: what is no number (absent, null, a text) never
 * reaches a numbered tier but takes the one marked "otherwise".
 *
 * The tier is what the value is in.  The event that is raised is the tier's,
 * unless the item is one of the tier's sample, or all of the gate's events are
 * held back by its shadow.  A shadow's own value and tiers are judged beside,
 * and nobody acts on them.
 */
#include "postgres.h"

#include <math.h>

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* What a value comes to among some tiers. */
typedef struct Judgement
{
	Jsonb	   *tiers;
	Numeric		number;			/* NULL: the value is none */
	const char *problem;		/* what it is instead; NULL: a number */
	JsonbValue *tier;			/* NULL: none takes it */
	const char *name;			/* of the tier: its event */
} Judgement;

typedef struct Decision
{
	Judgement	real;
	Judgement	shadow;			/* without tiers: there is none */
	const char *event;
	const char *diverted;		/* why not the tier's event; NULL: it is */
} Decision;

/* -------------------------------------------------------------------- value */

/*
 * The number that a gate goes by; NULL when the value is none.
 */
static Numeric
numeric_value(Jsonb *value)
{
	JsonbValue	scalar;

	if (value == NULL || !JB_ROOT_IS_SCALAR(value) ||
		!JsonbExtractScalar(&value->root, &scalar) || scalar.type != jbvNumeric)
		return NULL;

	return scalar.val.numeric;
}

/*
 * What keeps a value from being compared: "missing", "null", "a text"; NULL
 * when it is a number.
 */
static const char *
gate_problem(Jsonb *value)
{
	JsonbValue	scalar;

	if (value == NULL)
		return "missing";
	if (!JB_ROOT_IS_SCALAR(value))
		return JB_ROOT_IS_ARRAY(value) ? "an array" : "an object";
	(void) JsonbExtractScalar(&value->root, &scalar);
	switch (scalar.type)
	{
		case jbvNumeric:
			return NULL;
		case jbvNull:
			return "null";
		case jbvBool:
			return "a truth value";
		default:
			return "a text";
	}
}

/* -------------------------------------------------------------------- tiers */

static bool
tier_takes(JsonbValue *tier, Numeric value)
{
	JsonbValue *at_least = wf_jsonb_value_get(tier, "at_least");

	if (at_least == NULL)
		return true;			/* "otherwise" */

	return value != NULL && at_least->type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_ge, NumericGetDatum(value),
										 NumericGetDatum(at_least->val.numeric)));
}

static const char *
tier_name(JsonbValue *tier)
{
	JsonbValue *otherwise = wf_jsonb_value_get(tier, "otherwise");

	return wf_jsonb_value_text(otherwise != NULL ? otherwise : wf_jsonb_value_get(tier, "event"));
}

/*
 * Finds the first tier that takes the value.
 */
static void
judge(Judgement *judgement, Jsonb *value)
{
	int			count;
	JsonbValue *tiers = wf_jsonb_elements(wf_jsonb_root(judgement->tiers), &count);

	judgement->number = numeric_value(value);
	judgement->problem = gate_problem(value);
	for (int i = 0; i < count && judgement->tier == NULL; i++)
		if (tier_takes(&tiers[i], judgement->number))
			judgement->tier = &tiers[i];
	if (judgement->tier != NULL)
		judgement->name = tier_name(judgement->tier);
}

/* ----------------------------------------------------------------- diverted */

/*
 * Whether an item is one of a gate's sample: always the same ones, so that a
 * gate that decides again decides alike.
 */
static bool
is_sampled(const WfVisit *visit, JsonbValue *sample)
{
	JsonbValue *rate = wf_jsonb_value_get(sample, "rate");
	const char *state = visit->state->name;
	uint64		place;

	if (rate == NULL || rate->type != jbvNumeric)
		return false;
	place = hash_bytes_extended((const unsigned char *) state, strlen(state),
								(uint64) visit->item->item_id);

	return ldexp((double) (place >> 11), -53) <
		DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(rate->val.numeric)));
}

static void
choose_event(const WfVisit *visit, JsonbValue *shadow, Decision *decision)
{
	JsonbValue *held_back = wf_jsonb_value_get(shadow, "event");
	JsonbValue *sample = wf_jsonb_value_get(decision->real.tier, "sample");

	decision->event = decision->real.name;
	if (held_back != NULL)
	{
		decision->event = wf_jsonb_value_text(held_back);
		decision->diverted = "shadow";
	}
	else if (is_sampled(visit, sample))
	{
		decision->event = wf_jsonb_value_text(wf_jsonb_value_get(sample, "event"));
		decision->diverted = "sample";
	}
}

/*
 * What the shadow's value and tiers would have decided.  A fault there is the
 * shadow's problem and nobody else's.
 */
static void
judge_shadow(const WfVisit *visit, Jsonb *shadow, Jsonb *real_value, Decision *decision)
{
	char	   *selector = wf_jsonb_get_text(shadow, "value");
	Jsonb	   *value = real_value;
	WfFault		fault;

	if (selector == NULL && wf_jsonb_get(shadow, "tiers") == NULL)
		return;
	decision->shadow.tiers = wf_jsonb_get_jsonb(shadow, "tiers");
	if (decision->shadow.tiers == NULL)
		decision->shadow.tiers = decision->real.tiers;
	if (selector == NULL || wf_item_select(visit, selector, &value, &fault))
		judge(&decision->shadow, value);
	else
		decision->shadow.problem = fault.message;
}

/* ----------------------------------------------------------------- recorded */

static void
set_text(Datum *values, char *nulls, int place, const char *text)
{
	values[place] = wf_text_datum(text);
	nulls[place] = WF_NULL_FLAG(text);
}

static void
set_judgement(Datum *values, char *nulls, int place, const Judgement *judgement)
{
	values[place] = judgement->number == NULL ? (Datum) 0 : NumericGetDatum(judgement->number);
	nulls[place] = WF_NULL_FLAG(judgement->number);
	set_text(values, nulls, place + 1, judgement->name);
	values[place + 2] = judgement->tiers == NULL ? (Datum) 0 : JsonbPGetDatum(judgement->tiers);
	nulls[place + 2] = WF_NULL_FLAG(judgement->tiers);
	set_text(values, nulls, place + 3, judgement->problem);
}

/*
 * A former decision of the gate on the same item is counted no longer.
 */
static void
uncount_former(const WfVisit *visit, int former)
{
	static WfPlan plan = {
		.name = "uncount gate decision",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT workflow._uncount_gate($1, $2)",
	};
	Datum		values[] = {Int64GetDatum(visit->item->item_id), Int32GetDatum(former)};

	wf_plan_execute(&plan, values, NULL);
}

/*
 * Stores the decision and counts it.
 */
static void
record_decision(const WfVisit *visit, const Decision *decision)
{
	static WfPlan plan = {
		.name = "record gate decision",
		.expected = SPI_OK_SELECT,
		.by_index = true,
		.nargs = 17,
		.argtypes = {INT8OID, INT4OID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID,
		NUMERICOID, TEXTOID, JSONBOID, TEXTOID, NUMERICOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID},
		.sql = "WITH decided AS (INSERT INTO workflow.gate_decision (item_id, seq, state, version, decided_at, "
		"event, diverted, model_version, value, tier, tiers, problem, "
		"shadow_value, shadow_tier, shadow_tiers, shadow_problem) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)), "
		"counted AS (INSERT INTO workflow.gate_change (workflow, version, state, model_version, day, bucket, "
		"tier, diverted, shadow_tier, decided, total) "
		"VALUES ($17, $4, $3, $8, ($5 AT TIME ZONE 'UTC')::date, workflow._gate_bucket($9), "
		"$10, $7, $14, 1, coalesce($9, 0))) "
		"SELECT g.seq FROM workflow.gate_decision AS g "
		"WHERE g.item_id = $1 AND g.seq < $2 AND g.state = $3 ORDER BY g.seq DESC LIMIT 1",
	};
	Datum		values[17];
	char		nulls[] = "                 ";

	values[0] = Int64GetDatum(visit->item->item_id);
	values[1] = Int32GetDatum(visit->item->seq);
	values[2] = CStringGetTextDatum(visit->state->name);
	values[3] = Int32GetDatum(visit->item->version);
	values[4] = TimestampTzGetDatum(visit->item->since);
	values[5] = CStringGetTextDatum(decision->event);
	set_text(values, nulls, 6, decision->diverted);
	set_text(values, nulls, 7, wf_gate_model_version(visit->graph, visit->state));
	set_judgement(values, nulls, 8, &decision->real);
	set_judgement(values, nulls, 12, &decision->shadow);
	values[16] = CStringGetTextDatum(visit->item->workflow);
	if (wf_plan_execute(&plan, values, nulls) > 0)
		uncount_former(visit, wf_result_int4(0, 1));
}

static char *
gate_reason(Jsonb *value, const Decision *decision)
{
	const Judgement *real = &decision->real;
	char	   *where = decision->diverted == NULL ? "" :
	psprintf("; %s: \"%s\"", strcmp(decision->diverted, "sample") == 0 ? "sampled" : "in shadow",
			 decision->event);

	if (real->problem == NULL)
		return psprintf("value %s is in tier \"%s\"%s", wf_jsonb_to_cstring(value), real->name, where);

	return psprintf("value is %s%s: tier \"%s\"%s", real->problem,
					strncmp(real->problem, "a", 1) == 0 ? ", not a number" : "", real->name, where);
}

/*
 * Chooses the tier of a value and raises its event, or what stands in its
 * place; value, tier and thresholds are kept.
 */
const WfItem *
wf_item_enter_gate(const WfVisit *visit)
{
	Jsonb	   *gate = visit->state->activity;
	Jsonb	   *shadow = wf_jsonb_get_jsonb(gate, "shadow");
	Decision	decision = {.real.tiers = wf_jsonb_get_jsonb(gate, "tiers")};
	Jsonb	   *value;
	WfFault		fault;

	if (!wf_item_select(visit, wf_jsonb_get_text(gate, "value"), &value, &fault))
		return wf_item_enter_failed(visit, &fault);
	judge(&decision.real, value);
	if (decision.real.tier == NULL)
	{
		fault.error_class = "validation";
		fault.message = "no tier of the gate takes the value";
		return wf_item_enter_failed(visit, &fault);
	}
	if (shadow != NULL)
		judge_shadow(visit, shadow, value, &decision);
	choose_event(visit, shadow == NULL ? NULL : wf_jsonb_root(shadow), &decision);
	record_decision(visit, &decision);

	return wf_item_raise(visit, decision.event, gate_reason(value, &decision), NULL);
}
