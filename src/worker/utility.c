/*
 * utility.c
 *	  Statements that workers would stand in the way of.
 *
 * DROP DATABASE, CREATE DATABASE ... TEMPLATE and ALTER DATABASE ... RENAME
 * need a database without sessions; DROP EXTENSION locks every table, in an
 * order that workers in the middle of their work know nothing of: it would
 * deadlock with them.  Preloaded, the workers of that database are stopped
 * first, and started again by the launcher when the transaction has ended
 * either way.  Workers that DROP EXTENSION may not stop are told to look
 * whether it was theirs.
 *
 * And statements that workers wait for: a grant may let blocked effects go on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/rest.h"
#include "base/wake.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "worker/lifecycle.h"
#include "worker/worker.h"

static ProcessUtility_hook_type previous_utility_hook = NULL;
static WfEnd own_end = 0;
static Oid	held_database = InvalidOid;
static bool drops_held = false; /* then the launcher forgets it when it is
								 * gone */
static bool workers_look_at_commit = false;

static const char *
template_name(CreatedbStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}

	return NULL;
}

/*
 * The database that a statement needs for itself, or NULL.
 */
static const char *
database_in_the_way(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			return template_name((CreatedbStmt *) statement);
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE ?
				((RenameStmt *) statement)->subname : NULL;
		default:
			return NULL;
	}
}

/*
 * Only who may drop or copy a database may stop its workers.
 */
static bool
may_clear(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_database) GETSTRUCT(tuple))->datdba;
	ReleaseSysCache(tuple);

	return has_privs_of_role(GetUserId(), owner);
}

/*
 * Whether there are workers in a database, or the launcher may start one at any
 * time because it rests.
 */
static bool
may_have_workers(Oid database)
{
	for (WfWorkerKind kind = WF_WORKER_MAINTENANCE; kind <= WF_WORKER_HTTP; kind++)
		if (wf_registry_count(kind, database) > 0)
			return true;

	return wf_rest_look(database, NULL);
}

static void
clear_the_way(Oid database)
{
	if (!OidIsValid(database) || !may_clear(database) || !may_have_workers(database))
		return;
	held_database = database;
	wf_end_is_due(own_end);
	(void) wf_lifecycle_stop(database, WF_SLOT_HELD);
}

static bool
drops_extension(Node *statement)
{
	ListCell   *cell;

	if (!IsA(statement, DropStmt) ||
		((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) statement)->objects)
		if (strcmp(strVal(lfirst(cell)), "pg_workflow") == 0)
		return true;

	return false;
}

/*
 * The database whose workers a statement has to do without, or InvalidOid.
 */
static Oid
database_to_clear(Node *statement)
{
	const char *name = database_in_the_way(statement);
	Oid			database = name == NULL ? InvalidOid : get_database_oid(name, true);

	if (drops_extension(statement))
		return MyDatabaseId;

	return database == MyDatabaseId ? InvalidOid : database;
}

/*
 * Whether somebody may use an endpoint afterwards who could not before, by a
 * grant on it or by being made a member of who has one.
 */
static bool
grants_usage(Node *statement)
{
	if (IsA(statement, GrantRoleStmt))
		return ((GrantRoleStmt *) statement)->is_grant;

	return IsA(statement, GrantStmt) && ((GrantStmt *) statement)->is_grant &&
		((GrantStmt *) statement)->objtype == OBJECT_FOREIGN_SERVER;
}

static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	bool		grants = grants_usage(planned->utilityStmt);

	clear_the_way(database_to_clear(planned->utilityStmt));
	drops_held = IsA(planned->utilityStmt, DropdbStmt);
	if (drops_extension(planned->utilityStmt))
	{
		workers_look_at_commit = true;
		wf_end_is_due(own_end);
	}

	if (previous_utility_hook)
		previous_utility_hook(planned, query, read_only_tree, context, params,
							  environment, receiver, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params,
								environment, receiver, completion);

	if (grants)
		wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

static void
on_transaction_end(XactEvent event, void *argument)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (OidIsValid(held_database))
	{
		if (event == XACT_EVENT_ABORT || !drops_held)
			(void) wf_registry_clear(held_database, WF_SLOT_HELD);
		wf_wake_now(WF_WAKE_LAUNCHER, NULL);
	}
	held_database = InvalidOid;
	if (workers_look_at_commit && event == XACT_EVENT_COMMIT)
		for (int topic = WF_WAKE_SQL; topic <= WF_WAKE_MAINTENANCE; topic++)
			wf_wake_now(topic, NULL);
	workers_look_at_commit = false;
}

/*
 * Called when the library is preloaded.
 */
void
wf_utility_init(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	own_end = wf_end_register(on_transaction_end, NULL);
}
