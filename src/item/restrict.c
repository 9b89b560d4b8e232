/*
 * restrict.c
 *	  What the function of a sql activity may not do.
 *
 * It runs in the session of a worker, or of whoever called workflow.run(), as
 * the definer.  The server's own "security-restricted operation" keeps code
 * from leaving things behind that would run later with the session's rights;
 * but it also forbids deferred constraints, which an activity may well use.  So
 * the same things are refused here, and deferred triggers are fired before the
 * activity ends (run_sql.c).
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "item/item_internal.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

static ProcessUtility_hook_type previous_utility_hook = NULL;
static bool is_restricted = false;

static bool
is_temporary(const RangeVar *relation)
{
	return relation != NULL &&
		(relation->relpersistence == RELPERSISTENCE_TEMP ||
		 (relation->schemaname != NULL && strcmp(relation->schemaname, "pg_temp") == 0));
}

/*
 * Whether a statement leaves something behind in the session.
 */
static bool
outlives_activity(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
			return is_temporary(((CreateStmt *) statement)->relation);
		case T_CreateTableAsStmt:
			return is_temporary(((CreateTableAsStmt *) statement)->into->rel);
		case T_ViewStmt:
			return is_temporary(((ViewStmt *) statement)->view);
		case T_CreateSeqStmt:
			return is_temporary(((CreateSeqStmt *) statement)->sequence);
		case T_ListenStmt:
		case T_PrepareStmt:
		case T_LoadStmt:
			return true;
		default:
			return false;
	}
}

static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	if (is_restricted && outlives_activity(planned->utilityStmt))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("an activity cannot leave objects behind in the session"),
				 errdetail("Held cursors, temporary objects, LISTEN, PREPARE and LOAD are refused."),
				 errhint("Keep what has to last in a table of the definer's.")));
	if (previous_utility_hook)
		previous_utility_hook(planned, query, read_only_tree, context, params,
							  environment, receiver, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params,
								environment, receiver, completion);
}

/*
 * Runs the code of an activity.
 */
void
wf_item_run_restricted(WfFallible function, void *argument)
{
	bool		before = is_restricted;

	is_restricted = true;
	PG_TRY();
	{
		function(argument);
	}
	PG_FINALLY();
	{
		is_restricted = before;
	}
	PG_END_TRY();
}

/*
 * Called when the library is loaded.
 */
void
wf_item_restrict_init(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
