/*
 * session.c
 *	  Whether the process that holds something still lives.
 *
 * The array of processes knows the numbers in use; the server's statistics
 * know when each process started, but a transaction that looks at them keeps a
 * copy and is shown the same ever after.  A copy that knows the process is
 * right, as its number is still in use.  One that does not may be older than
 * the process, and is taken anew before anybody is declared dead.
 *
 * A process whose number is in use and of which the statistics know nothing is
 * about to start or to end.  It counts as alive: a starting one holds nothing
 * yet, and for one that ends somebody looks again.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/session.h"
#include "fmgr.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

bool
wf_session_lives(int pid, TimestampTz started_at)
{
	TimestampTz start;

	if (BackendPidGetProc(pid) == NULL)
		return false;
	if (wf_process_start(pid) == started_at)
		return true;
	pgstat_clear_backend_activity_snapshot();
	start = wf_process_start(pid);

	return start == 0 || start == started_at;
}

PG_FUNCTION_INFO_V1(wf_sql_session_lives);

/*
 * _session_lives(pid int, started_at timestamptz) returns bool
 */
Datum
wf_sql_session_lives(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wf_session_lives(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}
