/*
 * submitter.c
 *	  Whose effect it is.
 *
 * A row says so by name, and by the oid that the name meant when the row was
 * written (src/base/bind.c).  Rights are those of that role: renamed,
 * it keeps its effects; dropped, they are nobody's, whoever has the name by now.
 */
#include "postgres.h"

#include "effect/ledger.h"
#include "miscadmin.h"

/*
 * The name that a role has now; WF_NO_ROLE when it does not exist any more.
 */
char *
wf_present_role(Oid role)
{
	char	   *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	return name == NULL ? pstrdup(WF_NO_ROLE) : name;
}
