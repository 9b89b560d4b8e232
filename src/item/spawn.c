/*
 * spawn.c
 *	  Entering a state that starts children, and leaving it when they have
 *	  ended as its join demands.
 *
 * A small family is started in the transaction that enters the state.  What is
 * left of a large one is started by a timer, WF_TIMER_SPAWN, some at a time:
 * each time it fires is a step of its own.  The same timer is set when the ends
 * that were counted decide (spawn_count.c), and moves the item then.  So what
 * holds for timers holds here: a paused item waits, what cannot be done is
 * tried again and says why, and run() does it for rows of its own transaction.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "utils/builtins.h"

/* Children that are started with the state, and by each further step. */
#define FIRST_CHILDREN	50
#define NEXT_CHILDREN	500

/* How soon it is tried again when a child of an earlier visit has not ended. */
#define AWAIT_US	INT64CONST(1000000)

#define MAX_CHILDREN	100000
#define MAX_DEPTH		50

/* Whether a join without children is being decided further up in the stack. */
static bool deciding = false;

/* ------------------------------------------------------------- what is asked */

/* What is made of the document and the item's data, for wf_item_try(). */
typedef struct Order
{
	const WfVisit *visit;
	WfSpawn    *spawn;
} Order;

static const char *
type_name(Jsonb *value)
{
	return JB_ROOT_IS_SCALAR(value) ? JsonbTypeName(wf_jsonb_root(value)) : "object";
}

static Jsonb *
select_elements(const WfVisit *visit)
{
	char	   *selector = wf_jsonb_get_text(visit->state->activity, "each");
	Jsonb	   *elements = wf_select(selector, visit->item->data);

	if (elements == NULL || JB_ROOT_IS_SCALAR(elements) || !JB_ROOT_IS_ARRAY(elements))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 elements == NULL ? errmsg("selector \"%s\" finds nothing", selector) :
				 errmsg("selector \"%s\" finds no array: it is of type %s", selector, type_name(elements)),
				 errdetail("A child is started for each element of an array."),
				 errhint("Correct the value in the item's data.")));
	if (JB_ROOT_COUNT(elements) > MAX_CHILDREN)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("selector \"%s\" finds an array of %d elements", selector, (int) JB_ROOT_COUNT(elements)),
				 errdetail("At most %d children are started by one state.", MAX_CHILDREN),
				 errhint("Let each child take a part of the work, and spawn further ones.")));

	return elements;
}

static void
require_depth(const WfItem *item)
{
	static WfPlan plan = {
		.name = "depth of item",
		.expected = SPI_OK_SELECT,
		.by_index = true,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "WITH RECURSIVE up (parent_id, depth) AS ("
		"SELECT i.parent_id, 1 FROM workflow.item AS i WHERE i.item_id = $1 "
		"UNION ALL SELECT i.parent_id, up.depth + 1 FROM up JOIN workflow.item AS i ON i.item_id = up.parent_id "
		"WHERE up.depth < $2) SELECT pg_catalog.max(up.depth) FROM up",
	};
	Datum		values[2] = {Int64GetDatum(item->item_id), Int32GetDatum(MAX_DEPTH)};

	wf_plan_execute(&plan, values, NULL);
	if (wf_result_int4(0, 1) >= MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("item " INT64_FORMAT " is %d levels deep and starts no children", item->item_id, MAX_DEPTH),
				 errdetail("Its parent was started by a parent, and so on; most likely they never come to an end."),
				 errhint("Let the array be empty at the end of each branch.")));
}

static int
needed(Jsonb *activity, int total)
{
	JsonbValue *join = wf_jsonb_get(activity, "join");

	if (join->type != jbvString)
		return wf_jsonb_get_int(wf_jsonb_get_jsonb(activity, "join"), "count", 1);

	return strcmp(wf_jsonb_value_text(join), "all") == 0 ? total : 1;
}

static void
take_order(void *argument)
{
	Order	   *order = argument;
	const WfVisit *visit = order->visit;
	Jsonb	   *activity = visit->state->activity;
	const WfGraph *graph = wf_active_graph(wf_jsonb_get_text(activity, "workflow"));
	Jsonb	   *elements = select_elements(visit);
	WfSpawn    *spawn = palloc0(sizeof(WfSpawn));

	require_depth(visit->item);
	spawn->item_id = visit->item->item_id;
	spawn->seq = visit->item->seq;
	spawn->workflow = graph->workflow;
	spawn->version = graph->version;
	spawn->total = JB_ROOT_COUNT(elements);
	spawn->needed = needed(activity, spawn->total);
	if (spawn->total > 0)
		spawn->children = wf_spawn_render(visit, elements);
	order->spawn = spawn;
}

/*
 * What is to be started, by the data as it is now.  Raises what is wrong with it.
 */
WfSpawn *
wf_spawn_order(const WfVisit *visit)
{
	Order		order = {visit};

	take_order(&order);

	return order.spawn;
}

/*
 * A visit that has begun cannot go on.  Where nobody handles "error" it stays,
 * as a dead letter that replay() takes up.
 */
static const WfItem *
fail(const WfVisit *visit, const WfFault *fault)
{
	if (wf_state_transition(visit->state, "error") != NULL)
		return wf_item_enter_failed(visit, fault);
	wf_spawn_note_failed(visit->item, fault->error_class, fault->message);

	return visit->item;
}

static void
start_next(void *argument)
{
	Order	   *order = argument;

	wf_spawn_start_children(order->visit, order->spawn,
							order->spawn->started == 0 ? FIRST_CHILDREN : NEXT_CHILDREN);
}

/* ---------------------------------------------------------------- the verdict */

/* Results of the children, for wf_item_try(). */
typedef struct Results
{
	const WfVisit *visit;
	Jsonb	   *results;
	char	   *failure;
} Results;

static void
gather(void *argument)
{
	static WfPlan plan = {
		.name = "results of children",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "SELECT workflow._spawn_results($1, $2, $3), workflow._spawn_failure($1, $2)",
	};
	Results    *gathered = argument;
	const WfVisit *visit = gathered->visit;
	char	   *selector = wf_jsonb_get_text(visit->state->activity, "result");
	Datum		values[3];
	char		nulls[] = "   ";

	values[0] = Int64GetDatum(visit->item->item_id);
	values[1] = Int32GetDatum(visit->item->seq);
	values[2] = wf_text_datum(selector);
	nulls[2] = WF_NULL_FLAG(selector);
	wf_plan_execute(&plan, values, nulls);
	gathered->results = DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
	gathered->failure = wf_result_text(0, 2);
}

/*
 * Moves the item on by what its children came to.  Where nobody handles
 * "error", it stays, as a dead letter: somebody has to look.
 */
static const WfItem *
move_on(const WfVisit *visit, const char *verdict)
{
	Results		gathered = {visit};
	WfFault		fault;
	WfMove		move = {.event = verdict,.kind = "engine",.actor = visit->actor};

	if (wf_state_transition(visit->state, verdict) == NULL)
	{
		wf_spawn_note_failed(visit->item, "permanent", NULL);
		return visit->item;
	}
	if (!wf_item_try(gather, &gathered, &fault))
		return fail(visit, &fault);
	move.event_data = gathered.results;
	if (strcmp(verdict, "error") == 0)
	{
		move.reason = gathered.failure;
		move.event_data = wf_item_error_data("permanent", gathered.failure, gathered.results);
	}
	move.data = wf_jsonb_with(visit->item->data, visit->state->result_key, gathered.results);

	return wf_item_move(visit->item, &move);
}

/*
 * The same on entry, where there is nothing to wait for.  One in the train of
 * another one comes later: states that spawn nothing could lead to each other for
 * ever.
 */
static const WfItem *
move_on_at_once(const WfVisit *visit, const char *verdict)
{
	const WfItem *moved = NULL;

	if (deciding || visit->item->is_paused)
	{
		wf_item_set_timer(visit->item, WF_TIMER_SPAWN, wf_spawn_now(), verdict);
		return visit->item;
	}
	deciding = true;
	PG_TRY();
	{
		moved = move_on(visit, verdict);
	}
	PG_FINALLY();
	{
		deciding = false;
	}
	PG_END_TRY();

	return moved;
}

/* ------------------------------------------------------------------- the steps */

/*
 * Starts the next children, and sees to it that the rest follow.
 */
static const WfItem *
start_some(Order *order)
{
	const WfSpawn *spawn = order->spawn;
	WfFault		fault;

	if (!wf_item_try(start_next, order, &fault))
	{
		if (spawn->in_child)
			fault.message = psprintf("child %d: %s", spawn->place, fault.message);
		return fail(order->visit, &fault);
	}
	if (wf_spawn_has_more(spawn))
		wf_item_set_timer(order->visit->item, WF_TIMER_SPAWN,
						  wf_spawn_now() + (spawn->awaits ? AWAIT_US : 0), "spawn");

	return order->visit->item;
}

/*
 * Children that spawn themselves do so later, and a paused item when it goes on.
 */
const WfItem *
wf_item_enter_spawn(const WfVisit *visit)
{
	Order		order = {visit};
	WfFault		fault;
	const char *verdict;

	if (!wf_item_try(take_order, &order, &fault))
		return wf_item_enter_failed(visit, &fault);
	wf_spawn_store(order.spawn, wf_jsonb_get_jsonb(visit->state->activity, "success"));
	verdict = wf_spawn_decide(order.spawn);
	if (verdict != NULL)
		return move_on_at_once(visit, verdict);
	if (!wf_spawn_is_starting() && !visit->item->is_paused)
		return start_some(&order);
	wf_item_set_timer(visit->item, WF_TIMER_SPAWN, wf_spawn_now(), "spawn");

	return visit->item;
}

/*
 * Whether a timer of a locked item may fire now: not while somebody counts the
 * children that it is about.
 */
bool
wf_item_may_touch_children(const WfItem *item, int seq, const char *timer)
{
	if (strcmp(timer, WF_TIMER_CLOSE) != 0 &&
		(item->seq != seq ||
		 wf_item_state(wf_graph(item->workflow, item->version), item->state)->kind != WF_ACTIVITY_SPAWN))
		return true;

	return wf_spawn_try_hold(item->item_id, seq);
}

/*
 * The timer of a locked item has fired.
 */
void
wf_item_go_on_spawning(const WfItem *item, const char *actor)
{
	WfVisit		visit = {.item = item,.actor = actor};
	Order		order = {&visit};

	visit.graph = wf_graph(item->workflow, item->version);
	visit.state = wf_item_state(visit.graph, item->state);
	order.spawn = wf_spawn_lock(item->item_id, item->seq);
	if (order.spawn == NULL)
		elog(ERROR, "item " INT64_FORMAT " has spawned nothing in visit %d", item->item_id, item->seq);
	if (order.spawn->verdict == NULL && wf_spawn_has_more(order.spawn))
		(void) start_some(&order);
	else if (order.spawn->verdict != NULL || wf_spawn_decide(order.spawn) != NULL)
		(void) move_on(&visit, order.spawn->verdict);
}
