/*
 * activity.c
 *	  Entering states whose work waits in a queue.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "fmgr.h"
#include "funcapi.h"
#include "item/item_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static int64
enqueue(const WfVisit *visit, const char *kind, const char *waiting_on, int64 effect_id,
		int units, Jsonb *payload)
{
	WfNewJob	job = {0};

	if (waiting_on == NULL && visit->item->is_paused)
		waiting_on = "paused";
	job.queue = visit->state->queue;
	job.kind = kind;
	job.status = waiting_on == NULL ? NULL : "waiting";
	job.waiting_on = waiting_on;
	job.priority = visit->item->priority;
	job.run_at = Max(visit->start_at, wf_now());
	job.item_id = visit->item->item_id;
	job.state = visit->state->name;
	job.seq = visit->item->seq;
	job.effect_id = effect_id;
	job.units = units;
	job.payload = payload;

	return wf_queue_enqueue(&job);
}

/*
 * Puts the work of a visit into the queue of its state.  waiting_on NULL: it
 * is ready.  While the item is paused, what would be ready waits for that.
 */
int64
wf_item_enqueue(const WfVisit *visit, const char *kind, const char *waiting_on,
				int64 effect_id, Jsonb *payload)
{
	return enqueue(visit, kind, waiting_on, effect_id, 1, payload);
}

/*
 * The same of an effect that takes so many units of the rate limit; 0: one.
 */
int64
wf_item_enqueue_units(const WfVisit *visit, const char *kind, const char *waiting_on,
					  int64 effect_id, int units)
{
	return enqueue(visit, kind, waiting_on, effect_id, Max(1, units), NULL);
}

const WfItem *
wf_item_enter_sql(const WfVisit *visit)
{
	(void) wf_item_enqueue(visit, "sql", NULL, 0, NULL);

	return visit->item;
}

/* What is rendered on entry, for wf_item_try(). */
typedef struct Rendering
{
	const WfVisit *visit;
	Jsonb	   *shown;			/* to a reviewer */
	Jsonb	   *proposed;		/* to a reviewer; or NULL */
	Jsonb	   *current;		/* what that would replace; or NULL */
} Rendering;

/*
 * Whoever claims the task is given the item's data as it is now.
 */
const WfItem *
wf_item_enter_task(const WfVisit *visit)
{
	(void) wf_item_enqueue(visit, "task", NULL, 0, visit->item->data);

	return visit->item;
}

const WfItem *
wf_item_enter_exception(const WfVisit *visit)
{
	(void) wf_item_enqueue(visit, "exception", "exception", 0, NULL);

	return visit->item;
}

/*
 * The values of a list of selectors, each under the selector's path.
 */
static Jsonb *
select_each(Jsonb *selectors, Jsonb *data)
{
	Jsonb	   *shown = wf_jsonb_empty_object();
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	iterator = JsonbIteratorInit(&selectors->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *selector;

		if (token != WJB_ELEM || value.type != jbvString)
			continue;
		selector = wf_jsonb_value_text(&value);
		shown = wf_jsonb_with(shown, strncmp(selector, "$.", 2) == 0 ? selector + 2 : selector,
							  wf_select(selector, data));
	}

	return shown;
}

/*
 * What a reviewer sees: what "show" selects, or else all of the data.
 */
static Jsonb *
render_shown(Jsonb *activity, Jsonb *data)
{
	Jsonb	   *show = wf_jsonb_get_jsonb(activity, "show");

	if (show == NULL)
		return data;
	if (JB_ROOT_IS_ARRAY(show) && !JB_ROOT_IS_SCALAR(show))
		return select_each(show, data);

	return wf_render(show, data);
}

/*
 * What a review of some data shows.
 */
static void
render(Rendering *rendering, Jsonb *activity, Jsonb *data)
{
	char	   *editable = wf_jsonb_get_text(activity, "editable");
	char	   *current = wf_jsonb_get_text(activity, "current");

	rendering->shown = render_shown(activity, data);
	rendering->proposed = editable == NULL ? NULL : wf_select(editable, data);
	rendering->current = current == NULL ? NULL : wf_select(current, data);
}

static void
render_review(void *argument)
{
	Rendering  *rendering = argument;

	render(rendering, rendering->visit->state->activity, rendering->visit->item->data);
}

static void
open_review(const WfVisit *visit, int64 job_id, const Rendering *rendering)
{
	static WfPlan plan = {
		.name = "open review",
		.expected = SPI_OK_SELECT,
		.nargs = 8,
		.argtypes = {INT8OID, INT4OID, TEXTOID, INT8OID, JSONBOID, JSONBOID, JSONBOID, JSONBOID},
		.sql = "SELECT workflow._open_review($1, $2, $3, $4, $5, $6, $7, $8)",
	};
	Datum		values[8];
	char		nulls[] = "        ";

	values[0] = Int64GetDatum(visit->item->item_id);
	values[1] = Int32GetDatum(visit->item->seq);
	values[2] = CStringGetTextDatum(visit->state->name);
	values[3] = Int64GetDatum(job_id);
	values[4] = JsonbPGetDatum(visit->state->activity);
	values[5] = JsonbPGetDatum(rendering->shown);
	values[6] = rendering->proposed == NULL ? (Datum) 0 : JsonbPGetDatum(rendering->proposed);
	nulls[6] = WF_NULL_FLAG(rendering->proposed);
	values[7] = rendering->current == NULL ? (Datum) 0 : JsonbPGetDatum(rendering->current);
	nulls[7] = WF_NULL_FLAG(rendering->current);
	wf_plan_execute(&plan, values, nulls);
}

/*
 * A review is a snapshot: what is shown and proposed is taken now.
 */
const WfItem *
wf_item_enter_review(const WfVisit *visit)
{
	Rendering	rendering = {.visit = visit};
	WfFault		fault;

	if (!wf_item_try(render_review, &rendering, &fault))
		return wf_item_enter_failed(visit, &fault);
	open_review(visit, wf_item_enqueue(visit, "review", "review", 0, NULL), &rendering);

	return visit->item;
}

PG_FUNCTION_INFO_V1(wf_inner_render_review);

/*
 * _render_review(spec jsonb, data jsonb): shown, proposed and current
 */
Datum
wf_inner_render_review(PG_FUNCTION_ARGS)
{
	Rendering	rendering = {0};
	TupleDesc	description;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	render(&rendering, PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1));
	values[0] = JsonbPGetDatum(rendering.shown);
	values[1] = JsonbPGetDatum(rendering.proposed);
	nulls[1] = rendering.proposed == NULL;
	values[2] = JsonbPGetDatum(rendering.current);
	nulls[2] = rendering.current == NULL;

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}
