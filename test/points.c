/*
 * points.c
 *	  Stops a process at a labelled point (src/base/point.h), for tests.
 *
 * The tests load this library into their servers and write the label and the
 * oid of a database into the file "point" of the data directory.  The first
 * process of that database that comes by renames it to "point.PID" and waits
 * there, as if it were slow: it serves nothing.  It
 * goes on when the file is gone or when it is asked to end or to cancel, which
 * then has happened at this very point.  Anything that ends it at once does so.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "base/point.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define ARMED "point"
#define WAIT_US 500

PG_MODULE_MAGIC;

void		_PG_init(void);

static bool
is_armed(const char *label)
{
	FILE	   *file = fopen(ARMED, "r");
	char		armed[64] = "";
	Oid			database = InvalidOid;
	int			n;

	if (file == NULL)
		return false;
	n = fscanf(file, "%63s %u", armed, &database);
	fclose(file);

	return n == 2 && database == MyDatabaseId && strcmp(armed, label) == 0;
}

static bool
is_asked(const sigset_t *signals)
{
	sigset_t	pending;

	return sigpending(&pending) == 0 &&
		((sigismember(signals, SIGTERM) == 1 && sigismember(&pending, SIGTERM) == 1) ||
		 (sigismember(signals, SIGINT) == 1 && sigismember(&pending, SIGINT) == 1));
}

static void
wait_here(const char *file)
{
	sigset_t	signals;
	sigset_t	saved;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &saved);
	while (access(file, F_OK) == 0 && !is_asked(&signals))
		pg_usleep(WAIT_US);
	(void) unlink(file);
	sigprocmask(SIG_SETMASK, &saved, NULL);
}

static void
reached(const char *label)
{
	int			saved_errno = errno;
	char		file[64];

	snprintf(file, sizeof(file), ARMED ".%d", MyProcPid);
	if (is_armed(label) && rename(ARMED, file) == 0)
		wait_here(file);
	errno = saved_errno;
}

PG_FUNCTION_INFO_V1(list_points);

/*
 * list_points() returns text: all labels, a space after each.
 */
Datum
list_points(PG_FUNCTION_ARGS)
{
#define NAME(label) #label " "
	PG_RETURN_TEXT_P(cstring_to_text(WF_POINTS(NAME)));
}

void
_PG_init(void)
{
	static WfPointPlugin plugin = {reached};

	*find_rendezvous_variable(WF_POINT_VARIABLE) = &plugin;
}
