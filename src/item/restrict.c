/*
 * restrict.c
 *	  What the function of a sql activity may not do.
 *
 * It runs in the session of a worker, or of whoever called workflow.run(), as
 * the definer.  The server's own "security-restricted operation" keeps code
 * from leaving things behind that would run later with the session's rights;
 * but it also forbids deferred constraints, which an activity may well use.  So
 * the same things are refused here, what is left is found (session.c), and
 * deferred triggers are fired before the activity ends (deferred.c).
 */
#include "postgres.h"

#include "item/item_internal.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

static ProcessUtility_hook_type previous_utility_hook = NULL;
static bool is_restricted = false;
static bool constraints_were_set = false;

/*
 * Whether a statement changes what the session has: leaves something behind,
 * or takes away what is not the activity's.
 */
static bool
outlives_activity(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
		case T_ClosePortalStmt:
			return ((ClosePortalStmt *) statement)->portalname == NULL;
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_PrepareStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
		case T_LoadStmt:
			return true;
		default:
			return false;
	}
}

void
wf_item_refuse_to_outlive(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("an activity cannot leave objects behind in the session"),
			 errdetail("Temporary objects have to be dropped before it ends; held cursors, LISTEN, PREPARE, DISCARD and LOAD are refused."),
			 errhint("Keep what has to last in a table of the definer's.")));
}

/*
 * See item.h.
 */
void
wf_item_require_no_activity(void)
{
	if (is_restricted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an activity cannot call workflow.run()"),
				 errdetail("Activities of others would run amid what it has in the session and within its time limit."),
				 errhint("What it submits or sends is worked off when it has ended.")));
}

/*
 * Tells whether an activity used SET CONSTRAINTS since this was last asked.
 */
bool
wf_item_constraints_were_set(void)
{
	bool		were_set = constraints_were_set;

	constraints_were_set = false;

	return were_set;
}

static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	if (is_restricted && outlives_activity(planned->utilityStmt))
		wf_item_refuse_to_outlive();
	if (is_restricted && IsA(planned->utilityStmt, ConstraintsSetStmt))
		constraints_were_set = true;
	if (previous_utility_hook)
		previous_utility_hook(planned, query, read_only_tree, context, params,
							  environment, receiver, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params,
								environment, receiver, completion);
}

/*
 * Runs the code of an activity of that definer; what it leaves in the session
 * is closed or raised as an error.
 */
void
wf_item_run_restricted(Oid definer, WfFallible function, void *argument)
{
	bool		before = is_restricted;
	uint64		ntemporary = wf_item_session_note(definer);

	is_restricted = true;
	PG_TRY();
	{
		function(argument);
	}
	PG_FINALLY();
	{
		is_restricted = before;
		wf_item_session_unlock();
	}
	PG_END_TRY();
	wf_item_session_clean(ntemporary);
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
