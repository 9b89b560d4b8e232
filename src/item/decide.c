/*
 * decide.c
 *	  States that are decided at once, in the transaction that enters them.
 *
 * A gate is decided with care: what is no number (absent, null, a text) never
 * reaches a numbered tier but takes the one marked "otherwise".
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

typedef struct Selection
{
	const WfVisit *visit;
	Jsonb	   *value;			/* NULL: nothing found */
} Selection;

static void
select_value(void *argument)
{
	Selection  *selection = argument;

	selection->value = wf_select(wf_jsonb_get_text(selection->visit->state->activity, "value"),
								 selection->visit->item->data);
}

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

/*
 * The event of the first tier that takes the value; NULL when none does.
 */
static const char *
choose_tier(Jsonb *tiers, Numeric value)
{
	JsonbIterator *iterator = JsonbIteratorInit(&tiers->root);
	JsonbIteratorToken token;
	JsonbValue	tier;

	while ((token = JsonbIteratorNext(&iterator, &tier, true)) != WJB_DONE)
	{
		JsonbValue *otherwise;

		if (token != WJB_ELEM || !tier_takes(&tier, value))
			continue;
		otherwise = wf_jsonb_value_get(&tier, "otherwise");

		return wf_jsonb_value_text(otherwise != NULL ? otherwise :
								   wf_jsonb_value_get(&tier, "event"));
	}

	return NULL;
}

static void
record_decision(const WfVisit *visit, Numeric value, const char *problem,
				const char *tier, Jsonb *tiers)
{
	static WfPlan plan = {
		.name = "record gate decision",
		.expected = SPI_OK_INSERT,
		.nargs = 9,
		.argtypes = {INT8OID, INT4OID, TEXTOID, NUMERICOID, TEXTOID, JSONBOID,
		INT4OID, TIMESTAMPTZOID, TEXTOID},
		.sql = "INSERT INTO workflow.gate_decision "
		"(item_id, seq, state, value, tier, tiers, version, decided_at, problem) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	};
	Datum		values[9];
	char		nulls[] = "         ";

	values[0] = Int64GetDatum(visit->item->item_id);
	values[1] = Int32GetDatum(visit->item->seq);
	values[2] = CStringGetTextDatum(visit->state->name);
	values[3] = value == NULL ? (Datum) 0 : NumericGetDatum(value);
	nulls[3] = WF_NULL_FLAG(value);
	values[4] = CStringGetTextDatum(tier);
	values[5] = JsonbPGetDatum(tiers);
	values[6] = Int32GetDatum(visit->item->version);
	values[7] = TimestampTzGetDatum(visit->item->since);
	values[8] = wf_text_datum(problem);
	nulls[8] = WF_NULL_FLAG(problem);
	wf_plan_execute(&plan, values, nulls);
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

static char *
gate_reason(Jsonb *value, const char *problem, const char *tier)
{
	if (problem == NULL)
		return psprintf("value %s is in tier \"%s\"", wf_jsonb_to_cstring(value), tier);

	return psprintf("value is %s%s: tier \"%s\"", problem,
					strncmp(problem, "a", 1) == 0 ? ", not a number" : "", tier);
}

/*
 * Chooses the tier of a value and raises its event; value, tier and
 * thresholds are kept.
 */
const WfItem *
wf_item_enter_gate(const WfVisit *visit)
{
	Selection	selection = {.visit = visit};
	Jsonb	   *tiers = wf_jsonb_get_jsonb(visit->state->activity, "tiers");
	Numeric		value;
	const char *problem;
	const char *tier;
	WfFault		fault;

	if (!wf_item_try(select_value, &selection, &fault))
		return wf_item_enter_failed(visit, &fault);
	value = numeric_value(selection.value);
	tier = choose_tier(tiers, value);
	if (tier == NULL)
	{
		fault.error_class = "validation";
		fault.message = "no tier of the gate takes the value";
		return wf_item_enter_failed(visit, &fault);
	}
	problem = gate_problem(selection.value);
	record_decision(visit, value, problem, tier, tiers);

	return wf_item_raise(visit, tier, gate_reason(selection.value, problem, tier), NULL);
}

/*
 * {"errors": [{"path", "keyword", "message"}, ...]}
 */
static Jsonb *
errors_as_jsonb(List *errors)
{
	Jsonb	   *list = wf_jsonb_from_cstring("[]");
	ListCell   *cell;

	foreach(cell, errors)
	{
		WfSchemaError *error = lfirst(cell);
		Jsonb	   *entry = wf_jsonb_empty_object();

		entry = wf_jsonb_with(entry, "path", wf_jsonb_from_text(error->path));
		entry = wf_jsonb_with(entry, "keyword", wf_jsonb_from_text(error->keyword));
		entry = wf_jsonb_with(entry, "message", wf_jsonb_from_text(error->message));
		list = wf_jsonb_merge(list, entry);
	}

	return wf_jsonb_with(wf_jsonb_empty_object(), "errors", list);
}

static const char *
first_error(List *errors)
{
	WfSchemaError *error = linitial(errors);

	return psprintf("%s: %s", *error->path == '\0' ? "(root)" : error->path, error->message);
}

/*
 * Raises "valid", or "invalid" with the faults; a value that is not there is
 * judged as null.
 */
const WfItem *
wf_item_enter_validate(const WfVisit *visit)
{
	Selection	selection = {.visit = visit};
	List	   *errors;
	WfFault		fault;

	if (!wf_item_try(select_value, &selection, &fault))
		return wf_item_enter_failed(visit, &fault);
	errors = wf_schema_errors(wf_jsonb_get_jsonb(visit->state->activity, "schema"),
							  selection.value != NULL ? selection.value :
							  wf_jsonb_from_text(NULL));
	if (errors == NIL)
		return wf_item_raise(visit, "valid", NULL, NULL);

	return wf_item_raise(visit, "invalid", first_error(errors), errors_as_jsonb(errors));
}

const WfItem *
wf_item_enter_then(const WfVisit *visit)
{
	return wf_item_raise(visit, visit->state->then_event, NULL, NULL);
}
