/*
 * pause.c
 *	  Whether a whole workflow is paused: asked for with every move.
 *
 * What was read holds until somebody changes a pause: a trigger on the table then
 * sends an invalidation, like that of definitions (cache.c), and for the same
 * reasons what is stale cannot survive.
 */
#include "postgres.h"

#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

typedef struct WfPauseNote
{
	uint64		as_of;			/* 0: nothing is known */
	bool		is_paused;
} WfPauseNote;

static WfTable workflows = {"workflow"};
static uint64 nchanges = 0;		/* 0: nobody listens yet */

static void
on_relcache_invalidation(Datum arg, Oid relid)
{
	if (relid == workflows.oid || relid == InvalidOid)
		nchanges++;
}

/*
 * One for a graph, in the current memory context.
 */
WfPauseNote *
wf_pause_note(void)
{
	if (nchanges == 0)
	{
		CacheRegisterRelcacheCallback(on_relcache_invalidation, (Datum) 0);
		nchanges = 1;
	}

	return palloc0(sizeof(WfPauseNote));
}

bool
wf_graph_pause_is_known(const WfGraph *graph)
{
	return graph->pause->as_of == nchanges;
}

/*
 * See graph.h.
 */
uint64
wf_pause_changes(void)
{
	return nchanges;
}

/*
 * See graph.h.  With the latest snapshot, because that of a repeatable read
 * transaction may be older than the pause.
 */
bool
wf_workflow_is_paused(const char *workflow)
{
	static WfPlan plan = {
		.name = "workflow is paused",
		.expected = SPI_OK_SELECT,
		.read_only = true,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT 1 FROM workflow.workflow AS w "
		"WHERE w.workflow OPERATOR(pg_catalog.=) $1 AND w.paused_at IS NOT NULL",
	};
	Datum		value = CStringGetTextDatum(workflow);
	SPITupleTable *callers = SPI_tuptable;
	uint64		callers_count = SPI_processed;
	bool		is_paused;

	PushActiveSnapshot(GetLatestSnapshot());
	is_paused = wf_plan_execute(&plan, &value, NULL) > 0;
	PopActiveSnapshot();
	SPI_tuptable = callers;
	SPI_processed = callers_count;

	return is_paused;
}

/*
 * See graph.h.
 */
bool
wf_graph_is_paused(const WfGraph *graph)
{
	WfPauseNote *note = graph->pause;
	uint64		as_of;

	if (wf_graph_pause_is_known(graph))
		return note->is_paused;
	(void) wf_table_oid(&workflows);
	AcceptInvalidationMessages();
	as_of = nchanges;
	note->is_paused = wf_workflow_is_paused(graph->workflow);
	note->as_of = as_of;

	return note->is_paused;
}
