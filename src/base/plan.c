/*
 * plan.c
 *	  Named, prepared statements for hot paths.
 *
 * A plan is prepared on first use and kept as long as the backend lives; the
 * plan cache revalidates it when tables change.  Callers are connected to SPI
 * and run as the owner of the extension (base/owner.h), which also fixes the
 * search path that the statements are analyzed under.
 */
#include "postgres.h"

#include "base/guard.h"
#include "base/owner.h"
#include "base/plan.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"

/*
 * Adds the plan's name to errors raised while it runs.
 */
static void
plan_error_context(void *arg)
{
	errcontext("pg_workflow statement \"%s\"", ((WfPlan *) arg)->name);
}

static void
prepare_and_keep(WfPlan *plan)
{
	SPIPlanPtr	prepared = SPI_prepare_cursor(plan->sql, plan->nargs, plan->argtypes,
											  plan->by_index ? CURSOR_OPT_GENERIC_PLAN : 0);

	if (prepared == NULL)
		elog(ERROR, "could not prepare statement \"%s\": %s",
			 plan->name, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "could not keep statement \"%s\"", plan->name);
	plan->prepared = prepared;
}

static void
avoid(const char *setting)
{
	(void) set_config_option(setting, "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static CachedPlanSource *
source_of(const WfPlan *plan)
{
	return linitial(SPI_plan_get_plan_sources(plan->prepared));
}

static bool
is_planned(const CachedPlanSource *source)
{
	return source->is_valid && source->gplan != NULL && source->gplan->is_valid;
}

/*
 * Runs a plan by_index and plans it.  What is avoided counts as very dear, and would be
 * compiled each time.
 */
static int
plan_and_execute(WfPlan *plan, Datum *values, const char *nulls, long limit)
{
	int			level = NewGUCNestLevel();
	int			result;

	avoid("enable_seqscan");
	avoid("enable_hashjoin");
	avoid("enable_mergejoin");
	avoid("enable_bitmapscan");
	avoid("enable_sort");
	avoid("jit");
	result = SPI_execute_plan(plan->prepared, values, nulls, plan->read_only, limit);
	AtEOXact_GUC(true, level);

	return result;
}

/*
 * Runs a plan by_index.  It is planned once, perhaps while its tables are so
 * small that reading all of them is cheap; they grow, and the plan stays.  Where
 * something of a table has changed at this very moment it is planned as any other, once.
 */
static int
execute_by_index(WfPlan *plan, Datum *values, const char *nulls, long limit)
{
	CachedPlanSource *source = source_of(plan);
	int			generation = source->generation;
	int			result;

	if (!is_planned(source))
		return plan_and_execute(plan, values, nulls, limit);
	result = SPI_execute_plan(plan->prepared, values, nulls, plan->read_only, limit);
	if (source->generation != generation && source->gplan != NULL)
		source->gplan->is_valid = false;

	return result;
}

static int
execute(WfPlan *plan, Datum *values, const char *nulls, long limit)
{
	if (plan->by_index)
		return execute_by_index(plan, values, nulls, limit);

	return SPI_execute_plan(plan->prepared, values, nulls, plan->read_only, limit);
}

static int
run(WfPlan *plan, Datum *values, const char *nulls, long limit)
{
	WfPass		previous;
	volatile int result = 0;

	if (plan->passes == NULL)
		return execute(plan, values, nulls, limit);

	previous = wf_guard_open(plan->passes);
	PG_TRY();
	{
		result = execute(plan, values, nulls, limit);
	}
	PG_FINALLY();
	{
		wf_guard_close(previous);
	}
	PG_END_TRY();

	return result;
}

/*
 * Runs a plan inside the caller's SPI connection and returns the number of
 * rows.  Raises an error unless SPI reports the result that the plan expects,
 * so callers need not check.
 */
uint64
wf_plan_execute(WfPlan *plan, Datum *values, const char *nulls)
{
	return wf_plan_execute_limit(plan, values, nulls, 0);
}

/*
 * The same, stopping after limit rows; 0 means all.
 */
uint64
wf_plan_execute_limit(WfPlan *plan, Datum *values, const char *nulls, long limit)
{
	ErrorContextCallback frame;
	int			result;

	frame.callback = plan_error_context;
	frame.arg = plan;
	frame.previous = error_context_stack;
	error_context_stack = &frame;

	wf_require_own_functions();
	if (plan->prepared == NULL)
		prepare_and_keep(plan);

	result = run(plan, values, nulls, limit);
	if (result != plan->expected)
		elog(ERROR, "unexpected SPI result: %s",
			 SPI_result_code_string(result));

	error_context_stack = frame.previous;

	return SPI_processed;
}

/*
 * Whether a statement of the engine is being run, and not one of a user, or of
 * a restore.
 */
bool
wf_plan_is_running(void)
{
	ErrorContextCallback *frame = error_context_stack;

	while (frame != NULL && frame->callback != plan_error_context)
		frame = frame->previous;

	return frame != NULL;
}

/*
 * Returns a column of a result row, in SPI's memory.
 */
Datum
wf_result_datum(uint64 row, int column, bool *isnull)
{
	bool		ignored;

	Assert(row < SPI_tuptable->numvals);

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull == NULL ? &ignored : isnull);
}

bool
wf_result_is_null(uint64 row, int column)
{
	bool		isnull;

	(void) wf_result_datum(row, column, &isnull);

	return isnull;
}

/*
 * Returns a text column as a new C string, or NULL.
 */
char *
wf_result_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

int64
wf_result_int8(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
wf_result_int4(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

/*
 * Returns a text datum, or 0 for NULL.
 */
Datum
wf_text_datum(const char *text)
{
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

bool
wf_text_is(Datum stored, const char *said)
{
	const struct varlena *bytes = (const struct varlena *) DatumGetPointer(stored);
	Size		length;

	if (VARATT_IS_COMPRESSED(bytes) || VARATT_IS_EXTERNAL(bytes))
		return strcmp(TextDatumGetCString(stored), said) == 0;
	length = VARSIZE_ANY_EXHDR(bytes);

	return strncmp(said, VARDATA_ANY(bytes), length) == 0 && said[length] == '\0';
}
