/*
 * owner.c
 *	  Doing the inner work of a public function with the extension's rights.
 *
 * A public function is callable by whoever was granted it; the tables belong
 * to the owner of the extension.  Between wf_enter_owner() and
 * wf_leave_owner() statements run as that owner, with a search path that no
 * caller can plant objects in.  An error needs no clean-up: the end of the
 * (sub)transaction restores the role and the settings.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/owner.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define OWNERS_PATH "pg_catalog, pg_temp"

static bool functions_are_ours = false;
static uint64 role_changes = 0; /* 0: nobody listens yet */

static void
on_function_change(Datum argument, int cache_id, uint32 hash_value)
{
	functions_are_ours = false;
}

static void
refuse_stranger(Oid function, Oid owner)
{
	char	   *name = format_procedure(function);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("function %s is not the extension's", name),
			 errdetail("It is in the schema of pg_workflow and belongs to \"%s\", who is no superuser; "
					   "it could be called with the rights of the extension.",
					   GetUserNameFromId(owner, false)),
			 errhint("DROP FUNCTION %s; or give it back to the extension's owner.", name)));
}

static void
look_for_strangers(void)
{
	Oid			schema = get_namespace_oid("workflow", true);
	Relation	functions = table_open(ProcedureRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_proc_pronamespace, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(functions, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc function = (Form_pg_proc) GETSTRUCT(tuple);

		if (!superuser_arg(function->proowner))
			refuse_stranger(function->oid, function->proowner);
	}
	systable_endscan(scan);
	table_close(functions, AccessShareLock);
}

/*
 * Raises when the schema of the extension has functions of somebody else.  One
 * that matches a call better than ours would run with our rights; the owner of
 * the database could have made it while the extension was being created in a
 * schema that was his until then.
 */
void
wf_require_own_functions(void)
{
	static bool is_listening = false;

	if (functions_are_ours)
		return;
	if (!is_listening)
		CacheRegisterSyscacheCallback(PROCOID, on_function_change, (Datum) 0);
	is_listening = true;
	functions_are_ours = true;	/* unless something changes meanwhile */
	PG_TRY();
	{
		look_for_strangers();
	}
	PG_CATCH();
	{
		functions_are_ours = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
switch_to(Oid role, int sec_context, WfCaller *caller)
{
	GetUserIdAndSecContext(&caller->role, &caller->sec_context);
	caller->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(role, caller->sec_context | sec_context);
}

static void
switch_back(const WfCaller *caller, bool keep_settings)
{
	if (caller->guc_level == 0)
		return;
	AtEOXact_GUC(keep_settings, caller->guc_level);
	SetUserIdAndSecContext(caller->role, caller->sec_context);
}

/*
 * Whether all is as wf_enter_owner() leaves it: most often one of ours is called
 * inside another one.
 */
static bool
is_owner(const WfCaller *caller)
{
	return caller->role == BOOTSTRAP_SUPERUSERID &&
		(caller->sec_context & SECURITY_LOCAL_USERID_CHANGE) != 0 &&
		strcmp(namespace_search_path, OWNERS_PATH) == 0;
}

/*
 * Becomes the bootstrap superuser, who owns the objects of a trusted
 * extension, and fixes the search path.
 */
void
wf_enter_owner(WfCaller *caller)
{
	wf_require_own_functions();
	GetUserIdAndSecContext(&caller->role, &caller->sec_context);
	caller->guc_level = 0;
	if (is_owner(caller))
		return;
	switch_to(BOOTSTRAP_SUPERUSERID, SECURITY_LOCAL_USERID_CHANGE, caller);
	(void) set_config_option("search_path", OWNERS_PATH,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
wf_leave_owner(const WfCaller *caller)
{
	switch_back(caller, true);
}

/*
 * Becomes a role for running its code, which cannot change the role.
 */
void
wf_enter_role(Oid role, WfCaller *caller)
{
	switch_to(role, SECURITY_LOCAL_USERID_CHANGE, caller);
}

/*
 * The same as a security-restricted operation: the code cannot leave anything
 * behind in the session (temporary objects, held cursors, deferred triggers)
 * that would outlive it.
 */
void
wf_enter_restricted_role(Oid role, WfCaller *caller)
{
	switch_to(role, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION,
			  caller);
}

/*
 * Settings that the role's code changed are as they were before.
 */
void
wf_leave_role(const WfCaller *caller)
{
	switch_back(caller, false);
}

static void
on_role_change(Datum argument, int cache_id, uint32 hash_value)
{
	role_changes++;
}

/*
 * Returns the name of a role, in the caller's memory.  The last one is kept: rows
 * of one statement are asked about one after the other.
 */
char *
wf_role_name(Oid role)
{
	static Oid	known = InvalidOid;
	static uint64 as_of = 0;
	static char name[NAMEDATALEN];
	uint64		before;

	if (role_changes == 0)
	{
		CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
		role_changes = 1;
	}
	if (role != known || as_of != role_changes)
	{
		before = role_changes;
		strlcpy(name, GetUserNameFromId(role, false), NAMEDATALEN);
		known = role;
		as_of = before;
	}

	return pstrdup(name);
}

Datum
wf_role_text(Oid role)
{
	static Oid	known = InvalidOid;
	static uint64 as_of = 0;
	static struct
	{
		int32		header;
		char		name[NAMEDATALEN];
	}			kept;
	uint64		before = role_changes;
	char	   *name;

	if (role == known && as_of == before && before != 0)
		return PointerGetDatum(&kept);
	name = wf_role_name(role);
	SET_VARSIZE(&kept, VARHDRSZ + strlen(name));
	memcpy(kept.name, name, strlen(name));
	known = role;
	as_of = before;

	return PointerGetDatum(&kept);
}
