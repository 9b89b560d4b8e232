/*
 * launcher.c
 *	  The one process that sees to it that every database has its worker.
 *
 * Registered when the library is preloaded.  It reads pg_database and starts a
 * maintenance worker for each database; one that finds no extension there says
 * so and ends, and is not started again before somebody creates the extension
 * (whose commit asks for a recheck).  It runs no statement in any database,
 * and sleeps until a worker ends, somebody asks, or pg_database has changed.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/config.h"
#include "base/wake.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "worker/mains.h"
#include "worker/round.h"
#include "worker/trace.h"

#define FALLBACK_MS 60000L		/* pg_database may have changed and nobody
								 * told */
#define FIRST_DELAY_MS 1000
#define LAST_DELAY_MS 60000
#define LIVED_WELL_MS 10000		/* a worker that lived so long did not fail at
								 * start */
#define MAX_STARTING 2			/* leaves processes to those who have work */

typedef struct Database
{
	Oid			oid;			/* hash key */
	bool		is_seen;		/* in the present scan */
	bool		is_absent;		/* it has no extension, when last looked */
	TimestampTz started_at;
	int			delay_ms;		/* before the next start */
} Database;

static HTAB *databases = NULL;
static bool scan_needed = true;

static void
on_database_change(Datum argument, int cache_id, uint32 hash_value)
{
	scan_needed = true;
}

static void
see_database(Oid oid)
{
	bool		found;
	Database   *database = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		database->is_absent = false;
		database->started_at = 0;
		database->delay_ms = 0;
	}
	database->is_seen = true;
}

static void
read_pg_database(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		if (row->datallowconn && !row->datistemplate)
			see_database(row->oid);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
}

static void
forget_unseen(void)
{
	HASH_SEQ_STATUS all;
	Database   *database;

	hash_seq_init(&all, databases);
	while ((database = hash_seq_search(&all)) != NULL)
	{
		if (!database->is_seen)
		{
			(void) wf_registry_clear(database->oid, WF_SLOT_STOPPED);
			(void) wf_registry_clear(database->oid, WF_SLOT_HELD);
			wf_trace_forget_database(database->oid);
			(void) hash_search(databases, &database->oid, HASH_REMOVE, NULL);
		}
		database->is_seen = false;
	}
}

/*
 * Takes in what other sessions committed, and reads the list of databases
 * when that has changed.
 */
static void
scan_databases(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	AcceptInvalidationMessages();
	if (scan_needed)
	{
		scan_needed = false;
		(void) GetTransactionSnapshot();
		read_pg_database();
		forget_unseen();
	}
	CommitTransactionCommand();
}

/*
 * Takes in which databases were found without the extension, and in which it
 * may be new.
 */
static void
learn_who_has_it(void)
{
	WfWorkerSlot *slots;
	int			nslots = wf_registry_list(&slots);
	Oid			rechecks[16];
	bool		all;
	int			nrechecks;
	HASH_SEQ_STATUS every;
	Database   *database;

	for (int i = 0; i < nslots; i++)
		if (slots[i].state == WF_SLOT_ABSENT)
		{
			database = hash_search(databases, &slots[i].database, HASH_FIND, NULL);
			if (database != NULL)
				database->is_absent = true;
			(void) wf_registry_clear(slots[i].database, WF_SLOT_ABSENT);
		}
	pfree(slots);

	nrechecks = wf_registry_take_rechecks(rechecks, lengthof(rechecks), &all);
	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
		for (int i = 0; i < nrechecks || all; i++)
			if (all || database->oid == rechecks[i])
			{
				database->is_absent = false;
				database->started_at = 0;
				break;
			}
}

/*
 * Notes a start and how long to wait before the next one: not at all for a
 * worker that lived well, else longer and longer.
 */
static void
pace_start(Database *database, TimestampTz now)
{
	if (database->started_at == 0 ||
		TimestampDifferenceExceeds(database->started_at, now, LIVED_WELL_MS))
		database->delay_ms = FIRST_DELAY_MS;
	else
		database->delay_ms = Min(database->delay_ms * 2, LAST_DELAY_MS);
	database->started_at = now;
}

static bool
start_maintenance(Database *database)
{
	BackgroundWorkerHandle *handle;
	WfTicket	ticket = wf_registry_reserve(WF_WORKER_MAINTENANCE, database->oid, true);

	if (ticket == WF_NO_TICKET ||
		!wf_worker_launch(ticket, WF_WORKER_MAINTENANCE, &handle))
	{
		wf_registry_want_process();
		return false;
	}
	pfree(handle);
	pace_start(database, GetCurrentTimestamp());

	return true;
}

typedef struct Slots
{
	WfWorkerSlot *all;
	int			n;
} Slots;

static bool
has_maintenance(const Slots *slots, Oid database)
{
	for (int i = 0; i < slots->n; i++)
		if (slots->all[i].kind == WF_WORKER_MAINTENANCE &&
			slots->all[i].database == database)
			return true;

	return false;
}

static int
count_starting(const Slots *slots)
{
	int			n = 0;

	for (int i = 0; i < slots->n; i++)
		if (slots->all[i].kind == WF_WORKER_MAINTENANCE && !slots->all[i].is_ready &&
			(slots->all[i].state == WF_SLOT_STARTING ||
			 slots->all[i].state == WF_SLOT_RUNNING))
			n++;

	return n;
}

/*
 * Starts what is missing and may be started now.  Returns how long to wait
 * before trying again what may not yet, in milliseconds.
 */
static long
start_missing(void)
{
	Slots		slots;
	long		wait_ms = FALLBACK_MS;
	int			nstarting;
	HASH_SEQ_STATUS every;
	Database   *database;

	slots.n = wf_registry_list(&slots.all);
	nstarting = count_starting(&slots);
	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
	{
		TimestampTz due = database->started_at == 0 ? 0 :
		TimestampTzPlusMilliseconds(database->started_at, database->delay_ms);

		if (database->is_absent || has_maintenance(&slots, database->oid))
			continue;
		if (due > GetCurrentTimestamp())
			wait_ms = wf_ms_until(due, wait_ms);
		else if (nstarting >= MAX_STARTING || !start_maintenance(database))
			wait_ms = Min(wait_ms, FIRST_DELAY_MS);
		else
			nstarting++;
	}
	pfree(slots.all);

	return wait_ms;
}

static void
make_table(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(Database);
	databases = hash_create("wf databases", 64, &control, HASH_ELEM | HASH_BLOBS);
}

static void
launch(void)
{
	for (;;)
	{
		long		wait_ms = FALLBACK_MS;

		wf_worker_turn();
		scan_databases();
		learn_who_has_it();
		if (wf_workers_enabled)
			wait_ms = start_missing();
		wf_worker_sleep(wait_ms, "watching the databases");
	}
}

/*
 * Entry point of the process.
 */
void
wf_launcher_main(Datum main_arg)
{
	WfWorkerSlot me;
	WfTicket	ticket = wf_registry_reserve(WF_WORKER_LAUNCHER, InvalidOid, true);

	(void) wf_registry_take(ticket, &me);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CacheRegisterSyscacheCallback(DATABASEOID, on_database_change, (Datum) 0);
	make_table();
	wf_wake_listen(WF_WAKE_LAUNCHER, NULL);
	wf_registry_ready();
	launch();
}
