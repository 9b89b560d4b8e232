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

#include "base/owner.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"

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
	AtEOXact_GUC(keep_settings, caller->guc_level);
	SetUserIdAndSecContext(caller->role, caller->sec_context);
}

/*
 * Becomes the bootstrap superuser, who owns the objects of a trusted
 * extension, and fixes the search path.
 */
void
wf_enter_owner(WfCaller *caller)
{
	switch_to(BOOTSTRAP_SUPERUSERID, SECURITY_LOCAL_USERID_CHANGE, caller);
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
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

/*
 * Returns the name of a role, in the caller's memory.
 */
char *
wf_role_name(Oid role)
{
	return GetUserNameFromId(role, false);
}
