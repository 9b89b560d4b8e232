/*
 * commit.c
 *	  What the commit of the present transaction must do.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/commit.h"
#include "utils/guc.h"

/*
 * The commit of the present transaction returns only when it is on disk,
 * whatever the session's synchronous_commit says: what is done outside after
 * it must be found again after a crash.  A stricter setting stays.
 */
void
wf_require_flushed_commit(void)
{
	if (synchronous_commit < SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}
