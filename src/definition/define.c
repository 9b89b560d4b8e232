/*
 * define.c
 *	  workflow.define(), and the inner functions that show what it would say.
 *
 * The document is checked whole before anything is written; one error then
 * lists all faults.  Storing is in sql/definition.sql.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/context.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "definition/definition_internal.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static const char *const severity_names[] = {"error", "warning", "notice"};

/*
 * Returns the caller's search path as text[], for looking up the functions
 * that a document names.
 */
Datum
wf_search_path_of_caller(void)
{
	List	   *schemas = fetch_search_path(true);
	Datum	   *names = palloc(sizeof(Datum) * Max(1, list_length(schemas)));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, schemas)
	{
		char	   *name = get_namespace_name(lfirst_oid(cell));

		if (name != NULL && !isTempNamespace(lfirst_oid(cell)))
			names[n++] = CStringGetTextDatum(name);
	}

	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ------------------------------------------------------------------- raising */

/*
 * Returns "$.path: problem; hint".
 */
static char *
describe(const WfDocumentFault *fault)
{
	return fault->hint == NULL ? psprintf("%s: %s", fault->path, fault->problem) :
		psprintf("%s: %s; %s", fault->path, fault->problem, fault->hint);
}

/*
 * Appends a line for each fault of a severity; returns their number.
 */
static int
append_faults(StringInfo lines, const WfCheck *check, WfSeverity severity, const char *prefix)
{
	int			count = 0;
	ListCell   *cell;

	foreach(cell, check->faults)
	{
		const WfDocumentFault *fault = lfirst(cell);

		if (fault->severity != severity)
			continue;
		appendStringInfo(lines, "%s%s%s", lines->len > 0 ? "\n" : "", prefix, describe(fault));
		count++;
	}

	return count;
}

/*
 * Refuses the document.  The warnings follow the errors, so that a document
 * that is mended at once is mended whole.
 */
static void
raise_errors(const WfCheck *check, const char *function)
{
	StringInfoData lines;
	int			count;

	initStringInfo(&lines);
	count = append_faults(&lines, check, WF_SEVERITY_ERROR, "");
	(void) append_faults(&lines, check, WF_SEVERITY_WARNING, "warning: ");
	ereport(ERROR,
			(errcode(ERRCODE_WF_DEFINITION_INVALID),
			 errmsg("definition of workflow \"%s\" is invalid: %d %s",
					check->workflow == NULL ? "" : check->workflow,
					count, count == 1 ? "fault" : "faults"),
			 errdetail_internal("%s", lines.data),
			 errhint("Mend the document at these paths and call workflow.%s() again; nothing was stored.",
					 function)));
}

static void
raise_warnings(const WfCheck *check)
{
	ListCell   *cell;

	foreach(cell, check->faults)
	{
		const WfDocumentFault *fault = lfirst(cell);

		if (fault->severity == WF_SEVERITY_WARNING)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("%s: %s", fault->path, fault->problem),
					 fault->hint == NULL ? 0 : errhint("%s", fault->hint)));
	}
}

/* ------------------------------------------------------------------- storing */

/*
 * Stores a checked document; returns its version, and in *created whether it
 * is a new one.
 */
static int
store(const WfCheck *check, const char *json, bool *created)
{
	static WfPlan store_plan = {
		.name = "store_definition",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, TEXTOID, JSONOID, JSONBOID},
		.sql = "SELECT s.version, s.created "
		"FROM workflow._store_definition($1, $2, $3, $4) AS s",
	};
	Datum		values[4];

	values[0] = CStringGetTextDatum(check->definer);
	values[1] = CStringGetTextDatum(check->workflow);
	values[2] = CStringGetTextDatum(json);	/* json is text inside */
	values[3] = JsonbPGetDatum(check->functions);
	wf_plan_execute(&store_plan, values, NULL);
	*created = DatumGetBool(wf_result_datum(0, 2, NULL));

	return wf_result_int4(0, 1);
}

Datum
wf_defined_result(FunctionCallInfo fcinfo, const WfDefined *defined)
{
	TupleDesc	description;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "define was called where no row can be returned");
	values[0] = CStringGetTextDatum(defined->workflow);
	values[1] = Int32GetDatum(defined->version);
	values[2] = BoolGetDatum(defined->created);

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

static char *
require_document(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("document is null"),
				 errdetail("There is nothing to define."),
				 errhint("The least document is {\"workflow\": ..., \"initial\": ..., \"states\": {...}}.")));

	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/*
 * Checks a document, raises what is wrong with it, and stores it, for the
 * public function of that name.
 */
WfDefined
wf_define_document(const char *json, const char *definer, Datum search_path, const char *function)
{
	WfCheck    *check = wf_check_document(json, definer, search_path, wf_jsonb_empty_object());
	WfDefined	defined;

	if (wf_check_has_errors(check))
		raise_errors(check, function);
	raise_warnings(check);
	defined.version = store(check, json, &defined.created);
	defined.workflow = check->workflow;

	return defined;
}

/*
 * define(document json) returns (workflow text, version int, created bool)
 *
 * Checks and stores a document, as the role that calls.  The same content
 * gives the same version and writes nothing.
 */
WF_PUBLIC_FUNCTION(wf_define)
{
	char	   *json = require_document(fcinfo);
	char	   *definer = wf_role_name(GetUserId());
	Datum		search_path = wf_search_path_of_caller();
	MemoryContext callers_context = CurrentMemoryContext;
	WfCaller	caller;
	WfDefined	defined;

	wf_enter_owner(&caller);
	SPI_connect();
	defined = wf_define_document(json, definer, search_path, "define");
	defined.workflow = MemoryContextStrdup(callers_context, defined.workflow);
	SPI_finish();
	wf_leave_owner(&caller);

	return wf_defined_result(fcinfo, &defined);
}

/* -------------------------------------------------------------------- faults */

/*
 * Puts a fault into a set of rows (severity, code, state, path, problem, hint,
 * consequence); or, with its place in it, (severity, code, state, problem,
 * hint, path, consequence).
 */
void
wf_put_fault(ReturnSetInfo *rsinfo, const WfDocumentFault *fault, bool with_place)
{
	const char *consequence = wf_fault_consequence(fault->code);
	int			path = with_place ? 5 : 3;
	int			problem = with_place ? 3 : 4;
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = CStringGetTextDatum(severity_names[fault->severity]);
	values[1] = CStringGetTextDatum(fault->code);
	values[2] = wf_text_datum(fault->state);
	nulls[2] = fault->state == NULL;
	values[path] = CStringGetTextDatum(fault->path);
	values[problem] = CStringGetTextDatum(with_place ?
										  psprintf("%s: %s", fault->path, fault->problem) :
										  fault->problem);
	values[problem + 1] = wf_text_datum(fault->hint);
	nulls[problem + 1] = fault->hint == NULL;
	values[6] = wf_text_datum(consequence);
	nulls[6] = consequence == NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(wf_document_faults);

/*
 * _document_faults(document json, definer text, functions jsonb) returns setof
 * (severity, code, state, path, problem, hint, consequence)
 *
 * What the check finds in a stored document.
 */
Datum
wf_document_faults(PG_FUNCTION_ARGS)
{
	char	   *json = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *definer = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Jsonb	   *functions = PG_GETARG_JSONB_P(2);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	WfCheck    *check;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	check = wf_check_document(json, definer, wf_search_path_of_caller(), functions);
	foreach(cell, check->faults)
	{
		const WfDocumentFault *fault = lfirst(cell);

		wf_put_fault(rsinfo, fault, false);
	}
	SPI_finish();

	return (Datum) 0;
}

/*
 * Whether a fault is of the document itself, and not of what it finds in the
 * database: while a dump is restored, that may come later.
 */
static bool
is_lasting(const WfDocumentFault *fault)
{
	return fault->severity == WF_SEVERITY_ERROR &&
		strcmp(fault->code, "bad_function") != 0 &&
		strcmp(fault->code, "unknown_queue") != 0 &&
		strcmp(fault->code, "nobody_to_ask") != 0 &&
		strcmp(fault->code, "queue_conflict") != 0;
}

static void
require_sound(WfCheck *check, const char *workflow)
{
	List	   *lasting = NIL;
	ListCell   *cell;

	foreach(cell, check->faults)
	{
		if (is_lasting(lfirst(cell)))
			lasting = lappend(lasting, lfirst(cell));
	}
	check->faults = lasting;
	if (lasting != NIL)
		raise_errors(check, "define");
	if (strcmp(check->workflow, workflow) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WF_DEFINITION_INVALID),
				 errmsg("the document of workflow \"%s\" is one of workflow \"%s\"",
						workflow, check->workflow),
				 errdetail("A version is stored under the name that its document says."),
				 errhint("Call workflow.define() with the document.")));
}

static bool
has_null(HeapTuple row, TupleDesc desc)
{
	static const char *const columns[] = {"workflow", "document", "definer", "functions"};

	for (int i = 0; i < lengthof(columns); i++)
		if (heap_attisnull(row, SPI_fnumber(desc, columns[i]), desc))
			return true;

	return false;
}

PG_FUNCTION_INFO_V1(wf_require_sound);

/*
 * Trigger on workflow.definition: whoever inserts a version without define(),
 * to restore it, inserts one that define() could have stored.  The engine
 * trusts what is stored.
 */
Datum
wf_require_sound(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	TupleDesc	desc;
	WfCaller	caller;
	Jsonb	   *functions;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		elog(ERROR, "the function is a row trigger on INSERT");
	row = trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	if (has_null(row, desc))
		return PointerGetDatum(row);	/* NOT NULL refuses it */

	wf_enter_owner(&caller);
	SPI_connect();
	functions = wf_jsonb_from_cstring(SPI_getvalue(row, desc, SPI_fnumber(desc, "functions")));
	if (!JB_ROOT_IS_OBJECT(functions))
		functions = wf_jsonb_empty_object();
	require_sound(wf_check_document(SPI_getvalue(row, desc, SPI_fnumber(desc, "document")),
									SPI_getvalue(row, desc, SPI_fnumber(desc, "definer")),
									wf_search_path_of_caller(), functions),
				  SPI_getvalue(row, desc, SPI_fnumber(desc, "workflow")));
	SPI_finish();
	wf_leave_owner(&caller);

	return PointerGetDatum(row);
}

PG_FUNCTION_INFO_V1(wf_definition_changed);

/*
 * Statement trigger on workflow.definition and workflow.workflow: every backend
 * reads anew, after this commits, what it keeps of them.
 */
Datum
wf_definition_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "wf_definition_changed was not called as a trigger");
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);

	return PointerGetDatum(NULL);
}
