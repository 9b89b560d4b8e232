/*
 * spawn_start.c
 *	  Starting children: what each is given, and its first transition.
 *
 * Keys and inputs of all children are rendered when the state is entered, as
 * everything is; children are started from there, in the order of the array,
 * in one transaction or many.  How many are started stands in the parent's row
 * of workflow.spawn, in the same transaction: a crash loses none and doubles
 * none.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/identity.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Longer than that, a key that is made of the parent's names it by its id. */
#define MAX_PARENT_KEY 400

/* How many spawns stand one inside the other in this session's stack. */
static int	starting = 0;

bool
wf_spawn_is_starting(void)
{
	return starting > 0;
}

/* ---------------------------------------------------------- keys and inputs */

static char *
parent_route(int64 item_id)
{
	static WfPlan plan = {
		.name = "route of item",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT route FROM workflow.item WHERE item_id = $1",
	};
	Datum		value = Int64GetDatum(item_id);

	wf_plan_execute(&plan, &value, NULL);

	return wf_result_text(0, 1);
}

/*
 * The visit that the keys of children name: this one, or after a rewind the one
 * that it repeats, so that children are met again.
 */
static int
named_visit(const WfVisit *visit)
{
	static WfPlan plan = {
		.name = "repeated visit",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "SELECT workflow._repeated_visit($1, $2, $3)",
	};
	Datum		values[3] = {
		Int64GetDatum(visit->item->item_id), Int32GetDatum(visit->item->seq),
		CStringGetTextDatum(visit->state->name)
	};

	wf_plan_execute(&plan, values, NULL);

	return wf_result_int4(0, 1);
}

/*
 * What the keys of a visit's children begin with, where the document makes
 * none.  It begins with the parent's key and a '/', so that it leads to the
 * parent's route.
 */
static char *
key_prefix(const WfVisit *visit)
{
	const WfItem *parent = visit->item;

	if (strlen(parent->key) > MAX_PARENT_KEY)
		return psprintf("%s/" INT64_FORMAT ":%s:%d", parent_route(parent->item_id),
						parent->item_id, visit->state->name, named_visit(visit));

	return psprintf("%s/%s:%s:%d", parent->key, parent->workflow, visit->state->name, named_visit(visit));
}

static Jsonb *
each_of(JsonbValue *element, int index)
{
	Jsonb	   *each = wf_jsonb_with(wf_jsonb_empty_object(), "each", JsonbValueToJsonb(element));

	return wf_jsonb_with(each, "index", wf_jsonb_from_cstring(psprintf("%d", index)));
}

/* How the children of a visit are made. */
typedef struct Mould
{
	Jsonb	   *data;			/* the parent's */
	Jsonb	   *input;			/* template, or NULL: the element */
	Jsonb	   *key;			/* parts, or NULL */
	char	   *prefix;
} Mould;

static Jsonb *
input_of(const Mould *mould, JsonbValue *element, Jsonb *each)
{
	if (mould->input != NULL)
		return wf_render_each(mould->input, mould->data, each);

	return wf_jsonb_value_is_object(element) ? JsonbValueToJsonb(element) : each;
}

static const char *
key_of(const Mould *mould, Jsonb *each, int index)
{
	if (mould->key == NULL)
		return psprintf("%s:%d", mould->prefix, index);

	return wf_require_name(wf_render_key_each(mould->key, mould->data, each), "the key of a child",
						   "Make the key of a part of the element that is there.");
}

/*
 * Appends [key, input] of one child.
 */
static void
append_child(StringInfo json, const Mould *mould, JsonbValue *element, int index)
{
	Jsonb	   *each = each_of(element, index);
	Jsonb	   *key = wf_jsonb_from_text(key_of(mould, each, index));

	appendStringInfo(json, "%s[%s, ", index == 0 ? "" : ", ", wf_jsonb_to_cstring(key));
	appendStringInfo(json, "%s]", wf_jsonb_to_cstring(input_of(mould, element, each)));
}

/*
 * The array of [key, input] of the children of a visit.
 */
Jsonb *
wf_spawn_render(const WfVisit *visit, Jsonb *elements)
{
	Jsonb	   *activity = visit->state->activity;
	Mould		mould = {visit->item->data};
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "wf child", ALLOCSET_DEFAULT_SIZES);
	StringInfoData json;
	int			count;
	JsonbValue *values = wf_jsonb_elements(wf_jsonb_root(elements), &count);

	mould.input = wf_jsonb_get_jsonb(activity, "input");
	mould.key = wf_jsonb_get_jsonb(activity, "key");
	mould.prefix = key_prefix(visit);
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < count; i++)
	{
		MemoryContext outer = MemoryContextSwitchTo(each);

		append_child(&json, &mould, &values[i], i);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(each);
	}
	appendStringInfoChar(&json, ']');
	MemoryContextDelete(each);

	return wf_jsonb_from_cstring(json.data);
}

/* ------------------------------------------------------------------ ended */

/*
 * A child that has ended is counted by somebody else, for it must not wait for
 * its siblings.
 */
void
wf_item_note_end(const WfItem *item)
{
	static WfPlan plan = {
		.name = "note end of child",
		.expected = SPI_OK_INSERT,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "INSERT INTO workflow.child_end (item_id, seq, outcome) VALUES ($1, $2, $3)",
	};
	Datum		values[3];

	if (item->outcome == NULL || item->parent_id == 0)
		return;
	values[0] = Int64GetDatum(item->parent_id);
	values[1] = Int32GetDatum(item->parent_seq);
	values[2] = CStringGetTextDatum(item->outcome);
	wf_plan_execute(&plan, values, NULL);
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

/* ---------------------------------------------------------------- one child */

static WfItem *
new_child(const WfSpawn *spawn, const WfGraph *graph, int index)
{
	JsonbValue *child = getIthJsonbValueFromContainer(&spawn->children->root, index);
	int			count;
	JsonbValue *parts = wf_jsonb_elements(child, &count);
	const WfState *initial = wf_graph_initial(graph);
	WfItem	   *item = palloc0(sizeof(WfItem));

	item->workflow = graph->workflow;
	item->version = graph->version;
	item->key = wf_jsonb_value_text(&parts[0]);
	item->data = JsonbValueToJsonb(&parts[1]);
	item->state = initial->name;
	item->outcome = initial->outcome;
	item->since = wf_now();
	item->seq = WF_FIRST_SEQ;
	item->parent_id = spawn->item_id;
	item->parent_seq = spawn->seq;

	return item;
}

/*
 * Priority, labels, route and who submitted it are the parent's.  Returns
 * false when there is an item of that key.
 */
static bool
insert_child(WfItem *item, int index)
{
	static WfPlan plan = {
		.name = "insert child",
		.expected = SPI_OK_INSERT_RETURNING,
		.nargs = 10,
		.argtypes = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, TEXTOID, INT8OID,
		INT4OID, INT4OID},
		.sql = "INSERT INTO workflow.item (workflow, version, key, state, since, received_at, seq, "
		"submitted_by, route, priority, labels, input, data, outcome, parent_id, parent_seq, parent_index) "
		"SELECT $1, $2, $3, $4, $5, $5, 1, "
		"coalesce((SELECT r.rolname::text FROM pg_roles AS r WHERE r.oid = p.submitted_oid), p.submitted_by), p.route, p.priority, p.labels, $6, $6, $7, $8, $9, $10 "
		"FROM workflow.item AS p WHERE p.item_id = $8 "
		"ON CONFLICT (workflow, key) DO NOTHING RETURNING item_id, submitted_by, priority",
	};
	Datum		values[10];
	char		nulls[] = "          ";

	values[0] = CStringGetTextDatum(item->workflow);
	values[1] = Int32GetDatum(item->version);
	values[2] = CStringGetTextDatum(item->key);
	values[3] = CStringGetTextDatum(item->state);
	values[4] = TimestampTzGetDatum(item->since);
	values[5] = JsonbPGetDatum(item->data);
	values[6] = wf_text_datum(item->outcome);
	nulls[6] = WF_NULL_FLAG(item->outcome);
	values[7] = Int64GetDatum(item->parent_id);
	values[8] = Int32GetDatum(item->parent_seq);
	values[9] = Int32GetDatum(index);
	if (wf_plan_execute(&plan, values, nulls) == 0)
		return false;
	item->item_id = wf_result_int8(0, 1);
	item->submitted_by = wf_result_text(0, 2);
	item->priority = wf_result_int4(0, 3);

	return true;
}

static void
refuse_key(const WfItem *child)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_KEY_REUSED),
			 errmsg("workflow \"%s\" has an item \"%s\" already", child->workflow, child->key),
			 errdetail("Each child needs a key of its own."),
			 errhint("Make the key of parts that no other item has, \"$.index\" among them, or leave \"key\" out.")));
}

static void
begin_child(const WfVisit *parent, const WfGraph *graph, const WfItem *child, int index)
{
	WfMove		move = {.event = "submit",.kind = "submit",.actor = parent->actor};
	WfLogRow	row = {.item = child,.move = &move};
	WfVisit		visit = {.item = child,.graph = graph,.actor = parent->actor};

	move.reason = psprintf("child %d of item " INT64_FORMAT " (%s:%s) in \"%s\"", index,
						   parent->item->item_id, parent->item->workflow, parent->item->key,
						   parent->state->name);
	wf_item_log(&row);
	wf_item_note_end(child);
	visit.state = wf_graph_initial(graph);
	(void) wf_item_enter(&visit);
}

/* ------------------------------------------------- children of earlier visits */

typedef enum Known
{
	KNOWN_OTHER,				/* somebody else, or of this visit */
	KNOWN_LIVES,				/* and is being cancelled, since its visit is
								 * over */
	KNOWN_SUCCEEDED,
	KNOWN_FAILED,
} Known;

/*
 * Whose the key of a child is that cannot have it, of an earlier visit or put
 * aside by a replay of this one; of several earlier ones the one that has
 * succeeded, else one that lives.  Fills id and outcome.
 */
static Known
look_up(WfItem *child)
{
	static WfPlan plan = {
		.name = "child of earlier visit",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, TEXTOID, INT8OID, INT4OID},
		.sql = "SELECT i.item_id, i.outcome, workflow._is_success(i.outcome, s.success) "
		"FROM workflow.spawn AS s, "
		"(SELECT $2 UNION ALL SELECT $2 || '#' || e.seq || coalesce('.' || nullif(n, 0), '') "
		"FROM workflow.spawn AS e, generate_series(0, e.replays) AS n WHERE e.item_id = $3) AS k (key) "
		"JOIN workflow.item AS i ON i.workflow = $1 AND i.key = k.key "
		"WHERE s.item_id = $3 AND s.seq = $4 AND i.parent_id = $3 "
		"AND (i.parent_seq <> $4 OR i.parent_index IS NULL) "
		"ORDER BY coalesce(workflow._is_success(i.outcome, s.success), false) DESC, i.outcome IS NULL DESC LIMIT 1",
	};
	Datum		values[4];

	values[0] = CStringGetTextDatum(child->workflow);
	values[1] = CStringGetTextDatum(child->key);
	values[2] = Int64GetDatum(child->parent_id);
	values[3] = Int32GetDatum(child->parent_seq);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return KNOWN_OTHER;
	child->item_id = wf_result_int8(0, 1);
	child->outcome = wf_result_text(0, 2);
	if (child->outcome == NULL)
		return KNOWN_LIVES;

	return DatumGetBool(wf_result_datum(0, 3, NULL)) ? KNOWN_SUCCEEDED : KNOWN_FAILED;
}

/*
 * What has succeeded is not done again: the child counts for this visit.
 */
static void
take_over(const WfItem *child, int index)
{
	static WfPlan plan = {
		.name = "take child over",
		.expected = SPI_OK_UPDATE,
		.passes = "item",
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, INT4OID},
		.sql = "UPDATE workflow.item SET parent_seq = $2, parent_index = $3 WHERE item_id = $1",
	};
	Datum		values[3] = {
		Int64GetDatum(child->item_id), Int32GetDatum(child->parent_seq), Int32GetDatum(index)
	};

	wf_plan_execute(&plan, values, NULL);
	wf_item_note_end(child);
}

/* What is to be done with a child. */
typedef enum Start
{
	START_BEGIN,				/* it is stored */
	START_DONE,					/* it counts already */
	START_LATER,				/* when the one that has its key has ended */
} Start;

static char *
again_key(const WfSpawn *spawn, const char *key)
{
	return spawn->replays == 0 ? psprintf("%s#%d", key, spawn->seq) :
		psprintf("%s#%d.%d", key, spawn->seq, spawn->replays);
}

/*
 * A child whose key is known: what has failed is done again, under a key that
 * names the visit and its replay.
 */
static Start
start_again(WfItem *child, const WfSpawn *spawn, const WfState *initial)
{
	switch (look_up(child))
	{
		case KNOWN_OTHER:
			break;
		case KNOWN_LIVES:
			return START_LATER;
		case KNOWN_SUCCEEDED:
			take_over(child, spawn->place);
			return START_DONE;
		case KNOWN_FAILED:
			child->key = again_key(spawn, child->key);
			child->outcome = initial->outcome;
			if (insert_child(child, spawn->place))
				return START_BEGIN;
	}
	refuse_key(child);

	return START_DONE;
}

static Start
start_child(const WfVisit *parent, const WfSpawn *spawn, bool is_paused)
{
	const WfGraph *graph = wf_graph(spawn->workflow, spawn->version);
	WfItem	   *child = new_child(spawn, graph, spawn->place);
	Start		start;

	child->is_paused = is_paused;
	wf_item_require_input(graph, child->data);
	start = insert_child(child, spawn->place) ? START_BEGIN :
		start_again(child, spawn, wf_graph_initial(graph));
	if (start == START_BEGIN)
		begin_child(parent, graph, child, spawn->place);

	return start;
}

/*
 * Those that a replay has put aside come first.  Sets awaits where one cannot be
 * started yet.
 */
static void
start_one(const WfVisit *visit, WfSpawn *spawn, bool is_paused)
{
	bool		again = spawn->redone < spawn->nredo;
	Start		start;

	spawn->place = again ? spawn->redo[spawn->redone] : spawn->started;
	spawn->in_child = true;
	start = start_child(visit, spawn, is_paused);
	spawn->in_child = false;
	spawn->awaits = start == START_LATER;
	if (spawn->awaits)
		return;
	if (again)
		spawn->redone++;
	else
		spawn->started++;
}

static void
start_each(const WfVisit *visit, WfSpawn *spawn, int most)
{
	bool		is_paused = wf_graph_is_paused(wf_graph(spawn->workflow, spawn->version));
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "wf child", ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < most && wf_spawn_has_more(spawn) && !spawn->awaits; i++)
	{
		MemoryContext outer = MemoryContextSwitchTo(each);

		start_one(visit, spawn, is_paused);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(each);
	}
	MemoryContextDelete(each);
	wf_spawn_note_started(spawn);
}

/*
 * Starts the next ones, so many at most.
 */
void
wf_spawn_start_children(const WfVisit *visit, WfSpawn *spawn, int most)
{
	starting++;
	PG_TRY();
	{
		start_each(visit, spawn, most);
	}
	PG_FINALLY();
	{
		starting--;
	}
	PG_END_TRY();
}
