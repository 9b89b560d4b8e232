/*
 * draft.c
 *	  The end of a draft: publish() and discard_draft(), and check_draft(),
 *	  which says what publish() would.
 *
 * A version that comes from a draft has the rights of the role that began it,
 * whoever publishes: others, a superuser too, would lend theirs to functions
 * that they have not seen.  How drafts are written is in sql/draft.sql.
 */
#include "postgres.h"

#include "base/context.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

typedef struct Draft
{
	char	   *document;
	char	   *definer;
} Draft;

/*
 * The draft, locked for who may write it.
 */
static char *
lock_draft(const char *caller, const char *workflow)
{
	static WfPlan plan = {
		.name = "lock draft",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.sql = "SELECT d.document FROM workflow._lock_draft($1, $2) AS d",
	};
	Datum		values[2] = {CStringGetTextDatum(caller), CStringGetTextDatum(workflow)};

	wf_plan_execute(&plan, values, NULL);

	return wf_result_text(0, 1);
}

/*
 * The draft, and as whose version it is published.
 */
static Draft
read_draft(const char *workflow)
{
	static WfPlan plan = {
		.name = "read draft",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT d.document, workflow._draft_definer(d) FROM workflow._draft($1) AS d",
	};
	Datum		value = CStringGetTextDatum(workflow);
	Draft		draft;

	wf_plan_execute(&plan, &value, NULL);
	draft.document = wf_result_text(0, 1);
	draft.definer = wf_result_text(0, 2);

	return draft;
}

static void
drop_draft(const char *workflow)
{
	static WfPlan plan = {
		.name = "drop draft",
		.expected = SPI_OK_DELETE,
		.passes = "draft",
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "DELETE FROM workflow.draft WHERE workflow = $1",
	};
	Datum		value = CStringGetTextDatum(workflow);

	wf_plan_execute(&plan, &value, NULL);
}

static char *
draft_of_call(FunctionCallInfo fcinfo, const char *function)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"name\" must not be null"),
				 errdetail("workflow.%s() was called with null for it, or without it.", function),
				 errhint("SELECT workflow FROM workflow.drafts; shows the drafts that there are.")));

	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/*
 * publish(workflow) returns (workflow text, version int, created bool)
 *
 * define() with the document of a draft, which it ends.
 */
WF_PUBLIC_FUNCTION(wf_publish)
{
	char	   *workflow = draft_of_call(fcinfo, "publish");
	char	   *caller_name = wf_role_name(GetUserId());
	Datum		search_path = wf_search_path_of_caller();
	MemoryContext callers_context = CurrentMemoryContext;
	WfCaller	caller;
	WfDefined	defined;
	Draft		draft;

	wf_enter_owner(&caller);
	SPI_connect();
	(void) lock_draft(caller_name, workflow);
	draft = read_draft(workflow);
	defined = wf_define_document(draft.document, draft.definer, search_path, "publish");
	defined.workflow = MemoryContextStrdup(callers_context, defined.workflow);
	drop_draft(workflow);
	SPI_finish();
	wf_leave_owner(&caller);

	return wf_defined_result(fcinfo, &defined);
}

/*
 * discard_draft(workflow)
 */
WF_PUBLIC_FUNCTION(wf_discard_draft)
{
	char	   *workflow = draft_of_call(fcinfo, "discard_draft");
	char	   *role = wf_role_name(GetUserId());
	WfCaller	caller;

	wf_enter_owner(&caller);
	SPI_connect();
	(void) lock_draft(role, workflow);
	drop_draft(workflow);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_VOID();
}

/*
 * Puts the faults of a severity into the result of check_draft().
 */
static void
put_faults(ReturnSetInfo *rsinfo, const WfCheck *check, WfSeverity severity)
{
	ListCell   *cell;

	foreach(cell, check->faults)
	{
		const WfDocumentFault *fault = lfirst(cell);

		if (fault->severity == severity)
			wf_put_fault(rsinfo, fault, true);
	}
}

/*
 * check_draft(workflow) returns setof (severity, code, state, problem, hint,
 * path, consequence)
 *
 * What publish() would find, with the notices.
 */
WF_PUBLIC_FUNCTION(wf_check_draft)
{
	char	   *workflow = draft_of_call(fcinfo, "check_draft");
	Datum		search_path = wf_search_path_of_caller();
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	WfCaller	caller;
	Draft		draft;
	WfCheck    *check;

	InitMaterializedSRF(fcinfo, 0);
	wf_enter_owner(&caller);
	SPI_connect();
	draft = read_draft(workflow);
	check = wf_check_document(draft.document, draft.definer, search_path, wf_jsonb_empty_object());
	put_faults(rsinfo, check, WF_SEVERITY_ERROR);
	put_faults(rsinfo, check, WF_SEVERITY_WARNING);
	put_faults(rsinfo, check, WF_SEVERITY_NOTICE);
	SPI_finish();
	wf_leave_owner(&caller);

	return (Datum) 0;
}
