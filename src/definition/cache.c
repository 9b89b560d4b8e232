/*
 * cache.c
 *	  Compiled graphs of this backend.
 *
 * Versions are immutable, so a graph goes stale only when definitions are
 * rolled back, restored over or dropped; then all are thrown away and compiled
 * again on next use.
 *
 * Why a stale graph cannot survive: a writer sends its invalidation after its
 * commit is visible, and the row is read with a snapshot taken only after older
 * invalidations were processed; so a change that this snapshot misses still
 * sends one later.  The snapshot has to be the latest one, because that of a
 * repeatable read transaction may be older than the invalidation.
 *
 * A graph that went stale is still pointed to by whoever asked for it, so its
 * memory is freed only when the transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/suggest.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef enum CacheState
{
	CACHE_STALE,
	CACHE_LOADING,
	CACHE_VALID,
} CacheState;

typedef struct GraphKey
{
	const char *workflow;		/* compared as a text */
	int			version;
} GraphKey;

typedef struct GraphEntry
{
	GraphKey	key;
	const WfGraph *graph;
} GraphEntry;

static CacheState cache_state = CACHE_STALE;
static Oid	definition_relid = InvalidOid;
static MemoryContext cache_context = NULL;	/* of the table and all graphs */
static HTAB *graphs = NULL;
static const GraphEntry *last = NULL;	/* that was asked for */
static WfEnd own_end = 0;
static List *stale_contexts = NIL;	/* freed at the end of the transaction */

/* ------------------------------------------------------------- invalidation */

/*
 * Marks the cache stale.  Touches a flag only: this may run at any moment,
 * even while a graph is being compiled.
 */
static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	if (relid == definition_relid || relid == InvalidOid)
		cache_state = CACHE_STALE;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach(cell, stale_contexts)
		MemoryContextDelete(lfirst(cell));
	list_free(stale_contexts);
	stale_contexts = NIL;
}

static void
register_callbacks_once(void)
{
	static bool is_registered = false;

	if (is_registered)
		return;
	CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
	own_end = wf_end_register(on_transaction_end, NULL);
	is_registered = true;
}

/* -------------------------------------------------------------------- table */

static uint32
hash_key(const void *key, Size size)
{
	const GraphKey *graph_key = key;

	return hash_combine(hash_bytes((const unsigned char *) graph_key->workflow,
								   strlen(graph_key->workflow)),
						hash_uint32(graph_key->version));
}

static int
match_key(const void *left, const void *right, Size size)
{
	const GraphKey *a = left;
	const GraphKey *b = right;

	return a->version == b->version ? strcmp(a->workflow, b->workflow) : 1;
}

/*
 * Puts the old graphs aside and begins anew.
 */
static void
reset_cache(void)
{
	MemoryContext old;
	HASHCTL		control = {0};

	if (cache_context != NULL)
	{
		old = MemoryContextSwitchTo(TopMemoryContext);
		wf_end_is_due(own_end);
		stale_contexts = lappend(stale_contexts, cache_context);
		cache_context = NULL;
		graphs = NULL;
		last = NULL;
		MemoryContextSwitchTo(old);
	}
	cache_context = AllocSetContextCreate(CacheMemoryContext, "wf graphs",
										  ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(GraphKey);
	control.entrysize = sizeof(GraphEntry);
	control.hash = hash_key;
	control.match = match_key;
	control.hcxt = cache_context;
	graphs = hash_create("wf graphs", 16, &control,
						 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	definition_relid = get_relname_relid("definition",
										 get_namespace_oid("workflow", false));
	cache_state = CACHE_VALID;
}

/* ------------------------------------------------------------------ loading */

/* What SPI shows to our caller, who did not ask for a statement of ours. */
typedef struct SpiResult
{
	SPITupleTable *table;
	uint64		processed;
} SpiResult;

static SpiResult
save_spi_result(void)
{
	SpiResult	result = {SPI_tuptable, SPI_processed};

	return result;
}

static void
restore_spi_result(const SpiResult *result)
{
	SPI_tuptable = result->table;
	SPI_processed = result->processed;
}

/*
 * Reads a version and compiles it into the cache's memory; NULL when there is
 * none.
 */
static WfGraph *
load_graph(const char *workflow, int version)
{
	static WfPlan definition_plan = {
		.name = "load_definition",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.nargs = 2,
		.argtypes = {TEXTOID, INT4OID},
		.sql = "SELECT d.document::pg_catalog.jsonb, d.definer, d.functions, d.owner, "
		"d.definer_oid "
		"FROM workflow.definition AS d "
		"WHERE d.workflow OPERATOR(pg_catalog.=) $1 AND d.version OPERATOR(pg_catalog.=) $2",
	};
	Datum		values[2];
	WfSource	source = {0};
	MemoryContext old;
	MemoryContext context;
	WfGraph    *graph;

	values[0] = CStringGetTextDatum(workflow);
	values[1] = Int32GetDatum(version);
	if (wf_plan_execute(&definition_plan, values, NULL) == 0)
		return NULL;

	context = AllocSetContextCreate(cache_context, "wf graph", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	source.workflow = workflow;
	source.version = version;
	source.document = DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
	source.definer = wf_result_text(0, 2);
	if (!wf_result_is_null(0, 3))
		source.functions = DatumGetJsonbPCopy(wf_result_datum(0, 3, NULL));
	source.owner = wf_result_text(0, 4);
	source.definer_role = DatumGetObjectId(wf_result_datum(0, 5, NULL));
	graph = wf_graph_compile(&source);
	graph->pause = wf_pause_note();
	MemoryContextSwitchTo(old);

	return graph;
}

static void
remember(const WfGraph *graph)
{
	GraphKey	key = {graph->workflow, graph->version};
	GraphEntry *entry = hash_search(graphs, &key, HASH_ENTER, NULL);

	entry->key = key;
	entry->graph = graph;
}

/*
 * Loads a graph.  If definitions change while we read, the result is used
 * this time and the cache stays marked stale.
 */
static const WfGraph *
load_and_remember(const char *workflow, int version)
{
	SpiResult	callers = save_spi_result();
	WfGraph    *graph;

	cache_state = CACHE_LOADING;
	PushActiveSnapshot(GetLatestSnapshot());
	graph = load_graph(workflow, version);
	PopActiveSnapshot();
	restore_spi_result(&callers);
	if (cache_state == CACHE_LOADING)
		cache_state = CACHE_VALID;
	if (graph != NULL)
		remember(graph);

	return graph;
}

/*
 * The state that items start in.  Only a version that define() did not store
 * may have none.
 */
const WfState *
wf_graph_initial(const WfGraph *graph)
{
	if (graph->initial < 0)
		ereport(ERROR,
				(errcode(ERRCODE_WF_DEFINITION_INVALID),
				 errmsg("version %d of workflow \"%s\" has no initial state",
						graph->version, graph->workflow),
				 errdetail("It was not stored by workflow.define()."),
				 errhint("SELECT * FROM workflow.check('%s', %d) tells what is wrong.",
						 graph->workflow, graph->version)));

	return &graph->states[graph->initial];
}

/*
 * The role that defined the version; raises when it was dropped.  A role that
 * has its name by now is another one, and has not agreed to anything.
 */
Oid
wf_graph_definer(const WfGraph *graph)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(graph->definer_role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\", who defined version %d of workflow \"%s\", does not exist",
						graph->definer, graph->version, graph->workflow),
				 errdetail("It was dropped, or the version was restored without it; a role of the same name made later is another one."),
				 errhint("A superuser decides in whose name it goes on: UPDATE workflow.definition "
						 "SET definer = '...' WHERE workflow = '%s' AND version = %d;",
						 graph->workflow, graph->version)));

	return graph->definer_role;
}

/*
 * See graph.h.
 */
const WfGraph *
wf_graph_known(const char *workflow, int version)
{
	GraphKey	key = {workflow, version};
	const GraphEntry *entry;

	register_callbacks_once();
	AcceptInvalidationMessages();
	if (cache_state != CACHE_VALID)
		return NULL;
	if (last != NULL && match_key(&last->key, &key, 0) == 0)
		return last->graph;
	entry = hash_search(graphs, &key, HASH_FIND, NULL);
	if (entry == NULL)
		return NULL;
	last = entry;

	return entry->graph;
}

/*
 * See graph.h.
 */
const WfGraph *
wf_graph_known_by_text(Datum workflow, int version)
{
	register_callbacks_once();
	AcceptInvalidationMessages();
	if (cache_state == CACHE_VALID && last != NULL && last->key.version == version &&
		wf_text_is(workflow, last->key.workflow))
		return last->graph;

	return wf_graph_known(TextDatumGetCString(workflow), version);
}

const WfGraph *
wf_graph(const char *workflow, int version)
{
	const WfGraph *graph = wf_graph_known(workflow, version);

	if (graph != NULL)
		return graph;
	if (cache_state != CACHE_VALID)
		reset_cache();
	graph = load_and_remember(workflow, version);
	if (graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WF_UNKNOWN),
				 errmsg("workflow \"%s\" has no version %d", workflow, version),
				 errdetail("No such version is stored."),
				 errhint("SELECT workflow.document('%s') shows the active version, "
						 "to operators, designers and monitors.", workflow)));

	return graph;
}

/* ----------------------------------------------------------- active version */

static void
raise_unknown_workflow(const char *workflow)
{
	static WfPlan names_plan = {
		.name = "workflow_names",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.sql = "SELECT pg_catalog.string_agg(w.workflow, ', ' ORDER BY w.workflow) "
		"FROM (SELECT workflow FROM workflow.workflow ORDER BY workflow LIMIT 20) AS w",
	};
	char	   *names;

	wf_plan_execute(&names_plan, NULL, NULL);
	names = wf_result_text(0, 1);
	ereport(ERROR,
			(errcode(ERRCODE_WF_UNKNOWN),
			 errmsg("workflow \"%s\" does not exist", workflow),
			 errdetail("Workflows that exist: %s.", names == NULL ? "none" : names),
			 errhint("%sDefine it with SELECT * FROM workflow.define('{...}').",
					 wf_nearest_stored("workflow", workflow))));
}

static void
raise_retired(const char *workflow)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_PAUSED),
			 errmsg("workflow \"%s\" is retired", workflow),
			 errdetail("It takes no new items; those that live go on."),
			 errhint("Submit to the workflow that replaced it, or let it take items again: "
					 "SELECT workflow.activate('%s', version);", workflow)));
}

/*
 * A paused workflow takes new items; they wait.
 */
const WfGraph *
wf_active_graph(const char *workflow)
{
	static WfPlan active_plan = {
		.name = "active_version",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT w.active_version, w.retired_at IS NOT NULL "
		"FROM workflow.workflow AS w WHERE w.workflow OPERATOR(pg_catalog.=) $1",
	};
	Datum		name = CStringGetTextDatum(workflow);
	SpiResult	callers = save_spi_result();
	bool		is_known;
	int			version = 0;

	PushActiveSnapshot(GetLatestSnapshot());
	is_known = wf_plan_execute(&active_plan, &name, NULL) > 0 && !wf_result_is_null(0, 1);
	if (is_known)
	{
		version = wf_result_int4(0, 1);
		if (DatumGetBool(wf_result_datum(0, 2, NULL)))
			raise_retired(workflow);
	}
	else
		raise_unknown_workflow(workflow);
	PopActiveSnapshot();
	restore_spi_result(&callers);

	return wf_graph(workflow, version);
}
