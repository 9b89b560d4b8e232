/*
 * deferred.c
 *	  Deferred triggers: fired as whoever put them off, and by nobody else.
 *
 * The server fires what is deferred as the role that commits.  A worker
 * commits as a superuser, so an activity's deferred triggers fire before it
 * ends, as its definer.  That takes SET CONSTRAINTS ALL, which fires what the
 * whole transaction has put off: inside a caller's transaction, run() fires
 * the caller's own first, as the caller.
 */
#include "postgres.h"

#include "base/deferred.h"
#include "base/owner.h"
#include "item/item_internal.h"
#include "miscadmin.h"

static void
refuse_pending(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("deferred triggers of this transaction are pending"),
			 errdetail("%s", detail),
			 errhint("SET CONSTRAINTS ALL IMMEDIATE fires them; do that before workflow.run().")));
}

/*
 * Fires what the transaction of run()'s caller has put off, as the caller.
 * Where the caller's rights are borrowed from the owner of a function, what is
 * pending may be somebody else's, and is not fired with them.
 */
void
wf_item_fire_callers_deferred(void)
{
	if (!wf_deferred_is_pending())
		return;
	if (InLocalUserIdChange())
		refuse_pending("Inside a function that runs with the rights of its owner, nobody can tell whose they are.");
	wf_deferred_fire_all();
	if (wf_deferred_is_pending())
		refuse_pending("One of them puts off others again, or is what calls workflow.run().");
	wf_deferred_set_as_declared();
}

/*
 * Fires what an activity has put off, as its definer and as a
 * security-restricted operation, in which no trigger can be put off any
 * further: none is left for the commit.
 */
void
wf_item_fire_activitys_deferred(Oid definer)
{
	WfCaller	caller;
	bool		pending = wf_deferred_is_pending();

	if (pending)
	{
		wf_enter_restricted_role(definer, &caller);
		wf_deferred_fire_all();
		wf_leave_role(&caller);
	}
	if (wf_item_constraints_were_set() || pending)
		wf_deferred_set_as_declared();
}
