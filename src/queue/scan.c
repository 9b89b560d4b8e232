/*
 * scan.c
 *	  workflow.claim() in FROM, without a tuplestore.
 *
 * SELECT ... FROM workflow.claim(...) is how jobs are claimed, one at a time most
 * often.  The executor's scan of a function describes all columns of the row,
 * stores each row in a tuplestore and takes it out again.  Here a node of our own
 * makes the columns that are wanted, and hands them out.
 *
 * To a user it is the same function: whoever may not execute it is refused, it is
 * called once, when the first row is asked for, and its rows can be read again.
 * Where that could differ, the planner's own path stays: see is_ours().
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "pgstat.h"
#include "queue_internal.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#define NAME "claim of workflow"
#define NARGS 5

/* A scan of claim(). */
typedef struct ClaimScan
{
	CustomScanState node;
	FuncExpr   *call;
	ExprState  *arguments[NARGS];	/* NULL: a constant */
	bool		is_called;
	int			nrows;
	int			at;				/* row 1 to nrows; 0 before the first one,
								 * nrows + 1 after the last */
	int			ncolumns;
	Datum	   *values;			/* ncolumns a row */
	bool	   *nulls;
} ClaimScan;

static set_rel_pathlist_hook_type next_pathlist = NULL;

/* ------------------------------------------------------------------------- plans */

/*
 * Whether it is claim() as it was installed: nobody has replaced it, or given it
 * settings.
 */
static bool
is_claim(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		is_ours = false;
	bool		is_null;
	Datum		source;
	Datum		library;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prolang == ClanguageId && form->pronargs == NARGS && form->proretset &&
		!form->proisstrict && !form->prosecdef &&
		heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
	{
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
		is_ours = strcmp(TextDatumGetCString(source), "wf_claim") == 0;
		library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &is_null);
		is_ours = is_ours && !is_null &&
			strcmp(TextDatumGetCString(library), "$libdir/pg_workflow") == 0;
	}
	ReleaseSysCache(tuple);

	return is_ours && !FmgrHookIsNeeded(function);
}

/*
 * Whether the arguments stay what they are while a statement runs: then a scan
 * that begins anew returns what it has.
 */
static bool
are_fixed(List *arguments)
{
	ListCell   *cell;

	foreach(cell, arguments)
	{
		Node	   *argument = lfirst(cell);

		if (!IsA(argument, Const) &&
			!(IsA(argument, Param) && ((Param *) argument)->paramkind == PARAM_EXTERN))
			return false;
	}

	return list_length(arguments) == NARGS;
}

/*
 * Columns of the scan, in the order in which they are wanted.  To be asked for before
 * the planner puts expressions of the statement into the target of the scan.
 */
static List *
wanted_columns(const RelOptInfo *rel)
{
	Node	   *conditions = (Node *) extract_actual_clauses(rel->baserestrictinfo, false);

	return list_concat_unique(list_copy(rel->reltarget->exprs),
							  pull_var_clause(conditions, PVC_RECURSE_PLACEHOLDERS));
}

/*
 * Whether no more is wanted than columns of a job.
 */
static bool
are_plain(List *columns)
{
	ListCell   *cell;

	foreach(cell, columns)
	{
		const Var  *column = lfirst(cell);

		if (!IsA(column, Var) || column->varattno < 1 || column->varattno > WF_CLAIMED_COLUMNS)
			return false;
	}

	return true;
}

/*
 * Whether what is scanned is claim(), and nothing is asked of the scan that ours
 * does otherwise.
 */
static bool
is_ours(const PlannerInfo *root, const RelOptInfo *rel, const RangeTblEntry *rte)
{
	const RangeTblFunction *function;
	const FuncExpr *call;

	if (root->parse->commandType != CMD_SELECT || root->rowMarks != NIL || rte->funcordinality ||
		list_length(rte->functions) != 1 || !bms_is_empty(rel->lateral_relids) ||
		rel->reloptkind != RELOPT_BASEREL)
		return false;
	function = linitial(rte->functions);
	call = (const FuncExpr *) function->funcexpr;

	return IsA(call, FuncExpr) && function->funccolnames == NIL && are_fixed(call->args) &&
		is_claim(call->funcid) && are_plain(wanted_columns(rel));
}

static Plan *plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
					   List *clauses, List *plans);

static const CustomPathMethods path_methods = {NAME, plan_scan};

/*
 * Puts our path into the place of the planner's one, at the same costs.
 */
static void
on_pathlist(PlannerInfo *root, RelOptInfo *rel, Index relid, RangeTblEntry *rte)
{
	if (next_pathlist != NULL)
		next_pathlist(root, rel, relid, rte);
	if (rte->rtekind == RTE_FUNCTION && list_length(rel->pathlist) == 1 && is_ours(root, rel, rte))
	{
		const Path *theirs = linitial(rel->pathlist);
		CustomPath *path = makeNode(CustomPath);

		path->path = *theirs;
		path->path.type = T_CustomPath;
		path->path.pathtype = T_CustomScan;
		path->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN | CUSTOMPATH_SUPPORT_PROJECTION;
		path->methods = &path_methods;
		path->custom_private = wanted_columns(rel);
		rel->pathlist = list_make1(path);
	}
}

static Node *make_state(CustomScan *plan);

static const CustomScanMethods scan_methods = {NAME, make_state};

/*
 * The call is kept whole: a plan ends when a function that it names changes.
 */
static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets, List *clauses,
		  List *plans)
{
	CustomScan *scan = makeNode(CustomScan);
	const RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);
	ListCell   *cell;

	foreach(cell, path->custom_private)
	{
		Var		   *column = copyObject(lfirst_node(Var, cell));
		int			number = list_length(scan->custom_scan_tlist) + 1;

		scan->custom_scan_tlist = lappend(scan->custom_scan_tlist,
										  makeTargetEntry((Expr *) column, number, NULL, false));
		scan->custom_private = lappend_int(scan->custom_private, column->varattno);
	}
	scan->scan.plan.targetlist = targets;
	scan->scan.plan.qual = extract_actual_clauses(clauses, false);
	scan->custom_exprs = list_make1(copyObject(((RangeTblFunction *) linitial(rte->functions))->funcexpr));
	scan->flags = path->flags;
	scan->methods = &scan_methods;

	return &scan->scan.plan;
}

/* ------------------------------------------------------------------------- scans */

static void begin_scan(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *next_row(CustomScanState *node);
static void end_scan(CustomScanState *node);
static void scan_again(CustomScanState *node);
static void explain(CustomScanState *node, List *ancestors, ExplainState *es);

static const CustomExecMethods exec_methods = {
	.CustomName = NAME,
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = next_row,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = scan_again,
	.ExplainCustomScan = explain,
};

static Node *
make_state(CustomScan *plan)
{
	ClaimScan  *scan = palloc0(sizeof(ClaimScan));

	NodeSetTag(scan, T_CustomScanState);
	scan->node.methods = &exec_methods;

	return (Node *) scan;
}

static void
require_execute(Oid function)
{
	AclResult	result = wf_function_aclcheck(function, GetUserId());

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
}

/*
 * As the executor does for any function that it is going to call.
 */
static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	ClaimScan  *scan = (ClaimScan *) node;
	const CustomScan *plan = (const CustomScan *) node->ss.ps.plan;
	int			i = 0;
	ListCell   *cell;

	scan->call = linitial(plan->custom_exprs);
	scan->ncolumns = list_length(plan->custom_private);
	require_execute(scan->call->funcid);
	InvokeFunctionExecuteHook(scan->call->funcid);
	foreach(cell, scan->call->args)
	{
		if (!IsA(lfirst(cell), Const))
			scan->arguments[i] = ExecInitExpr(lfirst(cell), &node->ss.ps);
		i++;
	}
}

static void
set_arguments(ClaimScan *scan, FunctionCallInfo call)
{
	for (int i = 0; i < NARGS; i++)
	{
		const Const *constant = list_nth(scan->call->args, i);

		if (scan->arguments[i] != NULL)
			call->args[i].value = ExecEvalExpr(scan->arguments[i], scan->node.ss.ps.ps_ExprContext,
											   &call->args[i].isnull);
		else
		{
			call->args[i].value = constant->constvalue;
			call->args[i].isnull = constant->constisnull;
		}
	}
}

/*
 * Calls the function; wf_scan_take() gets its rows.
 */
static void
call_claim(ClaimScan *scan)
{
	LOCAL_FCINFO(call, NARGS);
	FmgrInfo	function = {0};
	PgStat_FunctionCallUsage usage;
	MemoryContext caller = MemoryContextSwitchTo(scan->node.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);

	function.fn_oid = scan->call->funcid;
	function.fn_nargs = NARGS;
	function.fn_retset = true;
	function.fn_stats = TRACK_FUNC_PL;
	function.fn_mcxt = CurrentMemoryContext;
	function.fn_expr = (Node *) scan->call;
	InitFunctionCallInfoData(*call, &function, NARGS, scan->call->inputcollid, NULL, (Node *) scan);
	set_arguments(scan, call);
	pgstat_init_function_usage(call, &usage);
	(void) wf_claim(call);
	pgstat_end_function_usage(&usage, true);
	scan->is_called = true;
	MemoryContextSwitchTo(caller);
}

/*
 * Keeps the columns that are wanted of jobs, until the statement ends.
 */
void
wf_scan_take(Node *node, List *jobs)
{
	ClaimScan  *scan = (ClaimScan *) node;
	const CustomScan *plan = (const CustomScan *) scan->node.ss.ps.plan;
	MemoryContext caller = MemoryContextSwitchTo(scan->node.ss.ps.state->es_query_cxt);
	size_t		next = 0;
	size_t		nvalues = (size_t) list_length(jobs) * scan->ncolumns;
	ListCell   *job;
	ListCell   *column;

	scan->nrows = list_length(jobs);
	scan->values = palloc_extended(sizeof(Datum) * nvalues, MCXT_ALLOC_HUGE);
	scan->nulls = palloc_extended(sizeof(bool) * nvalues, MCXT_ALLOC_HUGE);
	foreach(job, jobs)
		foreach(column, plan->custom_private)
	{
		scan->values[next] = wf_claimed_column(lfirst(job), lfirst_int(column), &scan->nulls[next]);
		next++;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Goes to the next row in the direction of the scan, as in a tuplestore.
 */
static TupleTableSlot *
fetch(ScanState *node)
{
	ClaimScan  *scan = (ClaimScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	size_t		first;

	if (!scan->is_called)
		call_claim(scan);
	if (ScanDirectionIsForward(node->ps.state->es_direction))
		scan->at = Min(scan->at + 1, scan->nrows + 1);
	else
		scan->at = Max(scan->at - 1, 0);
	ExecClearTuple(slot);
	if (scan->at < 1 || scan->at > scan->nrows)
		return slot;
	first = (size_t) scan->ncolumns * (scan->at - 1);
	memcpy(slot->tts_values, scan->values + first, sizeof(Datum) * scan->ncolumns);
	memcpy(slot->tts_isnull, scan->nulls + first, sizeof(bool) * scan->ncolumns);

	return ExecStoreVirtualTuple(slot);
}

static bool
is_still_there(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *
next_row(CustomScanState *node)
{
	return ExecScan(&node->ss, fetch, is_still_there);
}

static void
end_scan(CustomScanState *node)
{
}

static void
scan_again(CustomScanState *node)
{
	((ClaimScan *) node)->at = 0;
	ExecScanReScan(&node->ss);
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	ExplainPropertyText("Function Call",
						deparse_expression((Node *) ((ClaimScan *) node)->call, NIL, false, false), es);
}

/*
 * Called when the library is loaded.
 */
void
wf_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = on_pathlist;
}
