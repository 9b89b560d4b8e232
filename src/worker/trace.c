/*
 * trace.c
 *	  Which sql job a process is running, for those who outlive it.
 *
 * A batch of sql activities is one transaction with the claims of its jobs.
 * When one of them brings the process down nothing of that is left, and the
 * job would bring down the next one, for ever.  So the process writes the
 * job's name into a file of its own before it runs it, and takes it out after.
 * The file is written through to nothing: what the operating system keeps is
 * there when a process dies and when the whole server does; it is lost only
 * with the machine, which no activity brings down.
 *
 * A process that is asked to end, or told to quit because another one crashed,
 * or ends with the server, takes the name out: its job is not to blame.
 *
 * The files live where the server lets extensions keep what may be lost: that
 * folder is in no backup, and no standby has it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/session.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/pidfile.h"
#include "utils/timestamp.h"
#include "worker/registry.h"
#include "worker/trace.h"

#define PREFIX "pg_workflow."
#define WORKER_LENGTH 64
#define MAGIC 0x57465452

/* The contents of a file. */
typedef struct Record
{
	uint32		magic;
	int32		pid;
	int32		attempt;
	TimestampTz process_start;
	int64		job_id;			/* 0: none is running */
	TimestampTz began_at;
	bool		has_ended;		/* the process said so itself */
	bool		has_timed_out;	/* the job would not end otherwise */
	char		worker[WORKER_LENGTH];
} Record;

static int	my_file = -1;
static bool has_complained = false;
static Record mine;

static void
my_path(char *path)
{
	snprintf(path, MAXPGPATH, "%s/" PREFIX "%u.%d." INT64_FORMAT, PG_STAT_TMP_DIR,
			 MyDatabaseId, MyProcPid, MyStartTimestamp);
}

/*
 * Called by a signal handler too.
 */
static bool
write_mine(void)
{
	return pg_pwrite(my_file, &mine, sizeof(mine), 0) == sizeof(mine);
}

/*
 * Work goes on without a trace: an activity that ends the process is not
 * charged then.
 */
static void
complain(void)
{
	if (!has_complained)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not write down which job is running: %m"),
				 errdetail("A job that ends its process is not charged for that until this works."),
				 errhint("Look after the folder %s in the data directory.", PG_STAT_TMP_DIR)));
	has_complained = true;
}

/*
 * Whether the server is being stopped, as the postmaster has written down for
 * whoever wants to know.
 */
static bool
server_is_stopping(void)
{
	char		content[2048];
	char	   *line = content;
	int			file = BasicOpenFile("postmaster.pid", O_RDONLY | PG_BINARY);
	ssize_t		length;

	if (file < 0)
		return false;
	length = read(file, content, sizeof(content) - 1);
	close(file);
	content[Max(length, 0)] = '\0';
	for (int i = 1; line != NULL && i < LOCK_FILE_LINE_PM_STATUS; i++)
	{
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}

	return line != NULL &&
		strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

/*
 * The file stays when this process ends in the middle of a job for a reason of
 * its own.
 */
static void
leave_at_exit(int code, Datum argument)
{
	char		path[MAXPGPATH];

	if (mine.job_id != 0 && !wf_registry_is_asked_to_end() && !server_is_stopping())
	{
		mine.has_ended = true;
		(void) write_mine();
		wf_registry_note_death();
	}
	else
	{
		my_path(path);
		(void) unlink(path);
	}
	close(my_file);
	my_file = -1;
}

static bool
open_mine(void)
{
	char		path[MAXPGPATH];

	if (my_file >= 0)
		return true;
	(void) wf_registry_deaths();	/* attach: the end must not allocate */
	my_path(path);
	my_file = BasicOpenFile(path, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (my_file < 0)
		return false;
	mine.magic = MAGIC;
	mine.pid = MyProcPid;
	mine.process_start = MyStartTimestamp;
	before_shmem_exit(leave_at_exit, (Datum) 0);

	return true;
}

/*
 * Says that this process runs a job from now on.  Called with the job claimed:
 * the end of the process tells of it before it gives the job back.
 */
void
wf_trace_begin(const WfJob *job)
{
	if (!open_mine())
	{
		complain();
		return;
	}
	mine.job_id = job->job_id;
	mine.attempt = job->attempt;
	mine.began_at = GetCurrentTimestamp();
	mine.has_timed_out = false;
	strlcpy(mine.worker, job->worker, WORKER_LENGTH);
	if (!write_mine())
		complain();
}

/*
 * Says that it runs none.
 */
void
wf_trace_end(void)
{
	if (my_file < 0)
		return;
	mine.job_id = 0;
	if (!write_mine())
		complain();
}

/*
 * Says that the process is about to end because the job does not.  Called by a
 * signal handler; written as the process ends.
 */
void
wf_trace_note_timeout(void)
{
	mine.has_timed_out = true;
}

static void
quit(SIGNAL_ARGS)
{
	mine.job_id = 0;
	if (my_file >= 0)
		(void) write_mine();
	SignalHandlerForCrashExit(postgres_signal_arg);
}

/*
 * A process that calls this is not to blame when it is told to quit at once:
 * another one crashed, or the server is stopped.
 */
void
wf_trace_take_no_blame(void)
{
	pqsignal(SIGQUIT, quit);
}

static bool
read_record(const char *path, Record *record)
{
	int			file = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	ssize_t		length;

	if (file < 0)
		return false;
	length = read(file, record, sizeof(Record));
	(void) CloseTransientFile(file);
	record->worker[WORKER_LENGTH - 1] = '\0';

	return length == sizeof(Record) && record->magic == MAGIC;
}

static WfTrace *
trace_of(const char *path, const Record *record)
{
	WfTrace    *trace = palloc0(sizeof(WfTrace));

	trace->path = pstrdup(path);
	trace->death.job_id = record->job_id;
	trace->death.attempt = record->attempt;
	trace->death.worker = pstrdup(record->worker);
	trace->death.began_at = record->began_at;
	trace->death.has_timed_out = record->has_timed_out;

	return trace;
}

/*
 * Adds what is in a file to the traces, if it tells of a death in this
 * database.  Removes it when it tells nothing that anybody will ask for.
 */
static List *
add_trace(List *traces, const char *path)
{
	Record		record;

	if (!read_record(path, &record))
		return traces;			/* about to be written, or gone */
	if (!record.has_ended && wf_session_lives(record.pid, record.process_start))
		return traces;
	if (record.job_id != 0)
		return lappend(traces, trace_of(path, &record));
	(void) unlink(path);

	return traces;
}

/*
 * The paths of the files of a database.
 */
static List *
files_of(Oid database)
{
	char	   *prefix = psprintf(PREFIX "%u.", database);
	DIR		   *folder = AllocateDir(PG_STAT_TMP_DIR);
	struct dirent *entry;
	List	   *paths = NIL;

	while ((entry = ReadDirExtended(folder, PG_STAT_TMP_DIR, LOG)) != NULL)
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			paths = lappend(paths, psprintf("%s/%s", PG_STAT_TMP_DIR, entry->d_name));
	FreeDir(folder);

	return paths;
}

List *
wf_trace_left_behind(void)
{
	List	   *traces = NIL;
	ListCell   *cell;

	foreach(cell, files_of(MyDatabaseId))
		traces = add_trace(traces, lfirst(cell));

	return traces;
}

/*
 * Nobody will ask for the traces of a database that is gone.
 */
void
wf_trace_forget_database(Oid database)
{
	ListCell   *cell;

	foreach(cell, files_of(database))
		(void) unlink(lfirst(cell));
}

void
wf_trace_remove(const WfTrace *trace)
{
	(void) unlink(trace->path);
}
