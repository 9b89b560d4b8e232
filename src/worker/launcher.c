/*
 * launcher.c
 *	  The one process that sees to it that every database has its worker.
 *
 * Registered when the library is preloaded.  It reads pg_database and starts a
 * maintenance worker for each database; one that finds no extension there says
 * so and ends, and is not started again before somebody creates the extension
 * (whose commit asks for a recheck).  It runs no statement in any database,
 * and sleeps until a worker ends, somebody asks, or pg_database has changed.
 *
 * Where there are fewer processes than databases it lets them take turns: when
 * one wants a worker and no process is left, it asks the worker that has done
 * nothing for longest to rest.  That database gets one again when its next work is
 * due, or it is woken, in the order in which they came to want one.  Who rests
 * and wants nothing is not started for its own sake: an idle server starts nobody.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/config.h"
#include "base/rest.h"
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
#include "worker/allot.h"
#include "worker/mains.h"
#include "worker/round.h"
#include "worker/share.h"
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
	bool		is_resting;		/* its worker gave its process up */
	TimestampTz due;			/* then: when it wants one again */
	TimestampTz wanted_at;		/* since when it waits for one; 0: it does not */
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
		memset((char *) database + sizeof(Oid), 0, sizeof(*database) - sizeof(Oid));
		database->oid = oid;
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
			wf_rest_end(database->oid);
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
 * Takes in what workers said when they ended.
 */
static void
learn_how_they_ended(void)
{
	WfWorkerSlot *slots;
	int			nslots = wf_registry_list(&slots);

	for (int i = 0; i < nslots; i++)
	{
		WfSlotState state = slots[i].state;
		Database   *database;

		if (state != WF_SLOT_ABSENT && state != WF_SLOT_RESTING)
			continue;
		database = hash_search(databases, &slots[i].database, HASH_FIND, NULL);
		if (database != NULL)
		{
			database->is_absent = state == WF_SLOT_ABSENT;
			database->is_resting = state == WF_SLOT_RESTING;
			database->due = slots[i].next_due;
			database->wanted_at = 0;
			if (database->is_resting)
			{
				database->started_at = 0;	/* it did not fail */
				wf_allot_note_ended();
			}
		}
		if (state == WF_SLOT_ABSENT)
			wf_rest_end(slots[i].database);
		(void) wf_registry_clear(slots[i].database, state);
	}
	pfree(slots);
}

/*
 * Takes in in which databases the extension may be new.
 */
static void
learn_rechecks(void)
{
	Oid			rechecks[16];
	bool		all;
	int			nrechecks;
	HASH_SEQ_STATUS every;
	Database   *database;

	nrechecks = wf_registry_take_rechecks(rechecks, lengthof(rechecks), &all);
	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
		for (int i = 0; i < nrechecks || all; i++)
			if (all || database->oid == rechecks[i])
			{
				database->is_absent = false;
				database->started_at = 0;
				database->due = 0;
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
		return false;
	pfree(handle);
	wf_allot_note_started();
	database->is_resting = false;
	database->wanted_at = 0;
	pace_start(database, GetCurrentTimestamp());

	return true;
}

/*
 * Of those that rest without an entry, some database was woken.
 */
static void
wake_unlisted(void)
{
	HASH_SEQ_STATUS every;
	Database   *database;

	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
		if (database->is_resting && !wf_rest_look(database->oid, NULL))
			database->due = Min(database->due, GetCurrentTimestamp());
}

/*
 * Takes in which databases were woken while they rest, or have to be sooner.
 */
static void
learn_rests(void)
{
	WfRest	   *rests;
	int			n;

	if (wf_rest_take_unlisted())
		wake_unlisted();
	n = wf_rest_list(&rests);
	for (int i = 0; i < n; i++)
	{
		Database   *database = hash_search(databases, &rests[i].database, HASH_FIND, NULL);

		if (database == NULL || !database->is_resting)
			continue;
		database->due = Min(database->due, rests[i].due);
		if (rests[i].is_woken)
			database->due = Min(database->due, GetCurrentTimestamp());
	}
}

typedef struct Slots
{
	WfWorkerSlot *all;
	int			n;
} Slots;

/*
 * The slot that keeps a database from getting a maintenance worker, or NULL.
 */
static const WfWorkerSlot *
maintenance_of(const Slots *slots, Oid database)
{
	for (int i = 0; i < slots->n; i++)
		if (slots->all[i].kind == WF_WORKER_MAINTENANCE &&
			slots->all[i].database == database)
			return &slots->all[i];

	return NULL;
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

static void
note_that_it_has_one(Database *database, const WfWorkerSlot *slot)
{
	database->is_resting = false;
	database->wanted_at = 0;
	if (slot->state == WF_SLOT_STOPPED || slot->state == WF_SLOT_HELD)
		wf_rest_end(database->oid);
}

/*
 * Whether a database wants a worker now; lowers *next to the time when it will.
 */
static bool
wants_worker(Database *database, const Slots *slots, TimestampTz now, TimestampTz *next)
{
	const WfWorkerSlot *slot = maintenance_of(slots, database->oid);
	TimestampTz due = 0;

	if (database->is_absent)
		return false;
	if (slot != NULL)
	{
		note_that_it_has_one(database, slot);
		return false;
	}
	if (database->is_resting)
		due = database->due;
	else if (database->started_at != 0)
		due = TimestampTzPlusMilliseconds(database->started_at, database->delay_ms);
	if (due > now)
	{
		*next = Min(*next, due);
		return false;
	}
	if (database->wanted_at == 0)
		database->wanted_at = due == 0 ? now : due;

	return true;
}

static int
by_wanted_at(const void *one, const void *other)
{
	TimestampTz a = (*(Database *const *) one)->wanted_at;
	TimestampTz b = (*(Database *const *) other)->wanted_at;

	return a < b ? -1 : a > b;
}

/*
 * The databases that want a worker, who has waited for longest first.
 */
static int
list_wanting(const Slots *slots, Database ***wanting, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS every;
	Database   *database;
	int			n = 0;

	*wanting = palloc(sizeof(Database *) * (hash_get_num_entries(databases) + 1));
	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
		if (wants_worker(database, slots, now, next))
			(*wanting)[n++] = database;
	qsort(*wanting, n, sizeof(Database *), by_wanted_at);

	return n;
}

/*
 * Gives each database that wants a worker one, as far as there are processes.
 * Returns how long to wait, in milliseconds.
 */
static long
serve(void)
{
	Slots		slots;
	WfNeed		need = {0};
	Database  **wanting;
	TimestampTz next = DT_NOEND;
	int			nstarting;
	int			nwanting;
	int			room;
	int			i;

	slots.n = wf_registry_list(&slots.all);
	nstarting = count_starting(&slots);
	nwanting = list_wanting(&slots, &wanting, &next);
	wf_allot_lacking(slots.all, slots.n, &need);
	room = nwanting == 0 ? 0 : wf_allot_room(slots.all, slots.n);

	for (i = 0; i < nwanting && nstarting < MAX_STARTING && !need.has_turn; i++, nstarting++)
		if (i >= room || !start_maintenance(wanting[i]))
		{
			need.is_refused = true;
			break;
		}
	need.nwanting = nwanting - i;
	for (; i < nwanting; i++)
		wf_rest_want(wanting[i]->oid, wanting[i]->wanted_at);
	wf_allot(slots.all, slots.n, &need, &next);

	return next == DT_NOEND ? FALLBACK_MS : wf_ms_until(next, FALLBACK_MS);
}

/*
 * What rests is started anew when workers are on again.
 */
static void
forget_rests(void)
{
	HASH_SEQ_STATUS every;
	Database   *database;

	wf_rest_end_all();
	wf_share_give_turn(false, InvalidOid);
	hash_seq_init(&every, databases);
	while ((database = hash_seq_search(&every)) != NULL)
		database->is_resting = false;
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
		learn_how_they_ended();
		learn_rechecks();
		learn_rests();
		if (wf_workers_enabled)
			wait_ms = serve();
		else
			forget_rests();
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
	wf_rest_end_all();			/* nobody knows of them any more */
	wf_wake_listen(WF_WAKE_LAUNCHER, NULL);
	wf_registry_ready();
	launch();
}
