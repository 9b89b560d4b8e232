/*
 * enforced.c
 *	  What the triggers on users' tables judge by, kept in this backend.
 *
 * The arguments of a trigger say all of it: the number of the enforcement, the
 * table's name when it was enforced, the workflow and the version.  They go
 * with the table into a dump.  The columns are those of a second trigger on the
 * table, which never fires: a column that such a trigger names may be renamed,
 * and is dropped only together with it.
 *
 * An entry goes stale when its table, the versions or an enum change.  Whoever
 * is using it then may go on until the transaction ends.
 */
#include "postgres.h"

#include "access/table.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "item/enforced.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Arguments of both triggers; the second one has the first of them only. */
enum
{
	ARGUMENT_ENFORCEMENT,
	ARGUMENT_RELATION,
	ARGUMENT_WORKFLOW,
	ARGUMENT_VERSION,
	NARGUMENTS,
};

#define COLUMNS_FUNCTION "_enforced_columns"

static HTAB *entries = NULL;
static Oid	definitions = InvalidOid;
static uint64 changes = 0;

/* ------------------------------------------------------------- invalidation */

static void
forget_of_relation(Datum argument, Oid relation)
{
	HASH_SEQ_STATUS all;
	WfEnforced *entry;

	changes++;
	hash_seq_init(&all, entries);
	while ((entry = hash_seq_search(&all)) != NULL)
		if (!OidIsValid(relation) || relation == definitions ||
			relation == entry->relation || relation == entry->root)
			entry->is_valid = false;
}

static void
forget_all(Datum argument, int cache_id, uint32 hash_value)
{
	forget_of_relation(argument, InvalidOid);
}

/*
 * What somebody may be using still goes at the end of the transaction.
 */
static void
let_go(WfEnforced *entry)
{
	if (entry->memory != NULL)
		MemoryContextSetParent(entry->memory, TopTransactionContext);
	entry->memory = NULL;
}

/*
 * Entries of triggers that are gone are never asked for again.
 */
static void
let_stale_go(void)
{
	HASH_SEQ_STATUS all;
	WfEnforced *entry;

	hash_seq_init(&all, entries);
	while ((entry = hash_seq_search(&all)) != NULL)
	{
		if (!entry->is_valid)
			let_go(entry);
	}
}

static WfEnforced *
find_entry(Oid trigger)
{
	static WfEnforced *last = NULL;
	bool		found;

	if (last != NULL && last->trigger == trigger)
		return last;
	if (entries == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(WfEnforced);
		entries = hash_create("wf enforced tables", 16, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_of_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(ENUMOID, forget_all, (Datum) 0);
	}
	last = hash_search(entries, &trigger, HASH_ENTER, &found);
	if (!found)
	{
		memset(last, 0, sizeof(WfEnforced));
		last->trigger = trigger;
		let_stale_go();
	}

	return last;
}

/* ------------------------------------------------------------------ columns */

static bool
is_columns_trigger(const Trigger *trigger, const char *enforcement)
{
	char	   *function;
	bool		is_ours;

	if (trigger->tgnargs != 1 || trigger->tgnattr != 2 ||
		strcmp(trigger->tgargs[ARGUMENT_ENFORCEMENT], enforcement) != 0)
		return false;
	function = get_func_name(trigger->tgfoid);
	is_ours = function != NULL && strcmp(function, COLUMNS_FUNCTION) == 0;

	return is_ours;
}

/*
 * Finds the columns in a table; false when its enforcement is not of that one.
 */
static bool
find_columns(WfEnforced *entry, Relation fired_on, Oid oid, const char *enforcement)
{
	Relation	relation = table_open(oid, AccessShareLock);
	const TriggerDesc *triggers = relation->trigdesc;
	bool		found = false;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers && !found; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!is_columns_trigger(trigger, enforcement))
			continue;
		found = true;
		entry->root = oid;
		wf_enforced_columns(fired_on, get_attname(oid, trigger->tgattr[0], false),
							get_attname(oid, trigger->tgattr[1], false), &entry->columns);
	}
	table_close(relation, AccessShareLock);

	return found;
}

/*
 * The columns, by those of the table that was enforced: this one, or one that
 * it is a partition of.
 */
static void
require_columns(WfEnforced *entry, const TriggerData *trigger)
{
	Relation	relation = trigger->tg_relation;
	char	  **arguments = trigger->tg_trigger->tgargs;
	List	   *candidates = list_make1_oid(RelationGetRelid(relation));
	ListCell   *cell;

	if (relation->rd_rel->relispartition)
		candidates = list_concat(candidates, get_partition_ancestors(RelationGetRelid(relation)));
	foreach(cell, candidates)
		if (find_columns(entry, relation, lfirst_oid(cell), arguments[ARGUMENT_ENFORCEMENT]))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is enforced in a column that it has not any more",
					RelationGetRelationName(relation)),
			 errdetail("The column was dropped with the trigger \"workflow_columns_%s\", which named it.",
					   arguments[ARGUMENT_ENFORCEMENT]),
			 errhint("SELECT workflow.unenforce('%s'); ends it, workflow.enforce() names another column.",
					 arguments[ARGUMENT_RELATION])));
}

/* ------------------------------------------------------------------- states */

static int
add_event(WfEnforced *entry, const char *name)
{
	for (int i = 0; i < entry->nevents; i++)
		if (strcmp(entry->event_names[i], name) == 0)
			return i;
	entry->event_names[entry->nevents] = name;
	entry->event_texts[entry->nevents] = CStringGetTextDatum(name);

	return entry->nevents++;
}

/*
 * Of several events that lead from one state to another the first one counts.
 */
static void
add_transitions(WfEnforced *entry, int from)
{
	const WfState *state = &entry->graph->states[from];

	for (int i = 0; i < state->ntransitions; i++)
	{
		const WfTransition *transition = &state->transitions[i];
		int		   *event = &entry->events[from * entry->nstates + Max(transition->to, 0)];

		if (transition->to != WF_TO_ORIGIN && *event == WF_NO_EVENT)
			*event = add_event(entry, pstrdup(transition->event));
	}
}

static void
add_name(WfEnforced *entry, int state)
{
	const char *name = entry->states[state];
	uint32		slot = hash_bytes((const unsigned char *) name, strlen(name));

	while (entry->slots[slot & (entry->nslots - 1)] != WF_NO_STATE)
		slot++;
	entry->slots[slot & (entry->nslots - 1)] = state;
}

static void
add_states(WfEnforced *entry)
{
	const WfGraph *graph = entry->graph;
	int			n = graph->nstates;
	int			nevents = 0;

	entry->nstates = n;
	entry->initial = wf_graph_initial(graph) - graph->states;
	entry->states = palloc(sizeof(char *) * n);
	entry->state_texts = palloc(sizeof(Datum) * n);
	entry->events = palloc(sizeof(int) * n * n);
	for (entry->nslots = 8; entry->nslots <= 2 * n; entry->nslots *= 2)
		continue;
	entry->slots = palloc(sizeof(int) * entry->nslots);
	for (uint32 i = 0; i < entry->nslots; i++)
		entry->slots[i] = WF_NO_STATE;
	for (int i = 0; i < n * n; i++)
		entry->events[i] = WF_NO_EVENT;
	for (int i = 0; i < n; i++)
		nevents += graph->states[i].ntransitions;
	entry->nevents = 0;
	entry->insert_text = CStringGetTextDatum("insert");
	entry->kind_text = CStringGetTextDatum("direct");
	entry->event_names = palloc(sizeof(char *) * Max(nevents, 1));
	entry->event_texts = palloc(sizeof(Datum) * Max(nevents, 1));
	for (int i = 0; i < n; i++)
	{
		entry->states[i] = pstrdup(graph->states[i].name);
		entry->state_texts[i] = CStringGetTextDatum(entry->states[i]);
		add_name(entry, i);
		add_transitions(entry, i);
	}
}

/*
 * The states by the oids of an enum's labels.
 */
static void
add_labels(WfEnforced *entry, Oid type)
{
	entry->nlabels = entry->nslots;
	entry->label_oids = palloc0(sizeof(Oid) * entry->nlabels);
	entry->label_states = palloc(sizeof(int) * entry->nlabels);
	for (int i = 0; i < entry->nstates; i++)
	{
		Oid			label;
		uint32		slot;

		if (strlen(entry->states[i]) >= NAMEDATALEN)
			continue;
		label = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
								CStringGetDatum(entry->states[i]));
		if (!OidIsValid(label))
			continue;
		slot = murmurhash32(label);
		while (OidIsValid(entry->label_oids[slot & (entry->nlabels - 1)]))
			slot++;
		entry->label_oids[slot & (entry->nlabels - 1)] = label;
		entry->label_states[slot & (entry->nlabels - 1)] = i;
	}
}

/* ------------------------------------------------------------------ loading */

/*
 * An enforcement that was restored without its record could have the number of
 * another table's.
 */
static void
require_record(const TriggerData *trigger)
{
	static WfPlan plan = {
		.name = "enforcement",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.nargs = 2,
		.argtypes = {INT4OID, TEXTOID},
		.sql = "SELECT 1 FROM workflow.enforcement AS e WHERE e.enforcement_id OPERATOR(pg_catalog.=) $1 "
		"AND e.relation OPERATOR(pg_catalog.=) $2",
	};
	char	  **arguments = trigger->tg_trigger->tgargs;
	Datum		values[2];

	values[0] = Int32GetDatum(pg_strtoint32(arguments[ARGUMENT_ENFORCEMENT]));
	values[1] = CStringGetTextDatum(arguments[ARGUMENT_RELATION]);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has the trigger of an enforcement that is not on record",
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("It was restored without the rows of workflow.enforcement, where it was number %s, of \"%s\".",
						   arguments[ARGUMENT_ENFORCEMENT], arguments[ARGUMENT_RELATION]),
				 errhint("SELECT workflow.unenforce('%s'); then workflow.enforce() it anew.",
						 RelationGetRelationName(trigger->tg_relation))));
}

static void
load_as_owner(WfEnforced *entry, const TriggerData *trigger)
{
	WfCaller	caller;
	MemoryContext previous;

	wf_enter_owner(&caller);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	require_record(trigger);
	PopActiveSnapshot();
	entry->graph = wf_graph(entry->workflow, entry->version);
	previous = MemoryContextSwitchTo(entry->memory);
	add_states(entry);
	MemoryContextSwitchTo(previous);
	entry->graph = NULL;
	SPI_finish();
	wf_leave_owner(&caller);
}

static void
load(WfEnforced *entry, const TriggerData *trigger)
{
	char	  **arguments = trigger->tg_trigger->tgargs;
	TupleDesc	row = RelationGetDescr(trigger->tg_relation);
	uint64		before = changes;
	MemoryContext previous;

	let_go(entry);
	entry->memory = AllocSetContextCreate(CacheMemoryContext, "wf enforced table",
										  ALLOCSET_SMALL_SIZES);
	previous = MemoryContextSwitchTo(entry->memory);
	entry->relation = RelationGetRelid(trigger->tg_relation);
	entry->enforcement_id = pg_strtoint32(arguments[ARGUMENT_ENFORCEMENT]);
	entry->workflow = pstrdup(arguments[ARGUMENT_WORKFLOW]);
	entry->version = pg_strtoint32(arguments[ARGUMENT_VERSION]);
	definitions = get_relname_relid("definition", get_namespace_oid("workflow", false));
	require_columns(entry, trigger);
	load_as_owner(entry, trigger);
	if (entry->columns.form == WF_STATE_ENUM)
		add_labels(entry, getBaseType(TupleDescAttr(row, entry->columns.state - 1)->atttypid));
	MemoryContextSwitchTo(previous);
	entry->is_valid = before == changes;
}

/*
 * What a trigger judges by.
 */
const WfEnforced *
wf_enforced(const TriggerData *trigger)
{
	WfEnforced *entry = find_entry(trigger->tg_trigger->tgoid);

	if (entry->is_valid)
		return entry;
	if (trigger->tg_trigger->tgnargs != NARGUMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the trigger of an enforced table has %d arguments", NARGUMENTS),
				 errdetail("They are written by workflow.enforce()."),
				 errhint("Drop the trigger and call workflow.enforce().")));
	load(entry, trigger);

	return entry;
}

static int
state_of_label(const WfEnforced *enforced, Oid label)
{
	uint32		mask = enforced->nlabels - 1;
	uint32		slot = murmurhash32(label);

	for (; OidIsValid(enforced->label_oids[slot & mask]); slot++)
		if (enforced->label_oids[slot & mask] == label)
			return enforced->label_states[slot & mask];

	return WF_NO_STATE;
}

static int
state_of_text(const WfEnforced *enforced, const WfStateText *text)
{
	uint32		mask = enforced->nslots - 1;
	uint32		slot = hash_bytes((const unsigned char *) text->text, text->length);

	for (; enforced->slots[slot & mask] != WF_NO_STATE; slot++)
	{
		int			state = enforced->slots[slot & mask];

		if (strncmp(enforced->states[state], text->text, text->length) == 0 &&
			enforced->states[state][text->length] == '\0')
			return state;
	}

	return WF_NO_STATE;
}

/*
 * The number of a row's state; WF_NO_STATE when it is null or none of the
 * workflow's: then *text is what it is.
 */
int
wf_enforced_state(const WfEnforced *enforced, TupleTableSlot *row, WfStateText *text)
{
	const WfEnforcedColumns *columns = &enforced->columns;
	int			state = WF_NO_STATE;

	if (columns->form == WF_STATE_ENUM)
	{
		bool		is_null;
		Datum		label = slot_getattr(row, columns->state, &is_null);

		if (!is_null)
			state = state_of_label(enforced, DatumGetObjectId(label));
		if (state == WF_NO_STATE)
			*text = wf_enforced_state_text(columns, row);
		return state;
	}
	*text = wf_enforced_state_text(columns, row);

	return text->text == NULL ? WF_NO_STATE : state_of_text(enforced, text);
}
