/*
 * registry.c
 *	  Which workers there are: a slot of shared memory for each.
 *
 * Whoever starts a worker reserves a slot first, so that two starters cannot
 * start the same one; the worker takes the slot over as the first thing it
 * does, and gives it back as the last.  A maintenance worker is the only one
 * of its database: its slot, in whatever state, keeps others from starting.
 *
 * The block asks for one slot for each background worker that the server
 * allows.  It is read and written under its lock only; in_flight
 * alone is a plain number that its worker writes.
 */
#include "postgres.h"

#include <signal.h>

#include "base/compat.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "worker/registry.h"

#define MAX_RECHECKS 16

typedef struct Registry
{
	LWLock		lock;
	int			tranche;		/* set once */
	int			nslots;			/* set once */
	uint32		last_generation;
	bool		recheck_all;
	int			nrechecks;
	Oid			rechecks[MAX_RECHECKS];
	WfWorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Registry;

static Registry *registry = NULL;
static WfWorkerSlot *my_slot = NULL;
static shmem_request_hook_type previous_request_hook = NULL;

static int
slot_count(void)
{
	return max_worker_processes + 1;
}

static Size
registry_size(void)
{
	return offsetof(Registry, slots) + sizeof(WfWorkerSlot) * slot_count();
}

static void
init_registry(void *memory)
{
	Registry   *new_registry = memory;

	new_registry->tranche = LWLockNewTrancheId();
	new_registry->nslots = slot_count();
	LWLockInitialize(&new_registry->lock, new_registry->tranche);
}

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(registry_size());
}

/*
 * Called when the library is loaded; preloaded, asks for the memory.
 */
void
wf_registry_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
}

static void
lock_registry(LWLockMode mode)
{
	if (registry == NULL)
	{
		registry = wf_shared_block("pg_workflow workers", registry_size(), init_registry);
		LWLockRegisterTranche(registry->tranche, "pg_workflow workers");
	}
	LWLockAcquire(&registry->lock, mode);
}

static void
unlock_registry(void)
{
	LWLockRelease(&registry->lock);
}

static WfTicket
ticket_of(const WfWorkerSlot *slot)
{
	return ((WfTicket) slot->generation << 32) | (uint32) (slot - registry->slots);
}

/*
 * Returns the slot of a ticket, or NULL when it has another user by now.
 */
static WfWorkerSlot *
slot_of(WfTicket ticket)
{
	uint32		index = (uint32) ticket;

	if (ticket == WF_NO_TICKET || index >= registry->nslots ||
		registry->slots[index].generation != (uint32) (ticket >> 32))
		return NULL;

	return &registry->slots[index];
}

static bool
is_abandoned(const WfWorkerSlot *slot)
{
	return slot->state == WF_SLOT_STARTING && BackendPidGetProc(slot->pid) == NULL;
}

/*
 * Finds a slot that may be used; what a person stopped yields when no other
 * is left.
 */
static WfWorkerSlot *
find_free_slot(void)
{
	WfWorkerSlot *spare = NULL;

	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->state == WF_SLOT_FREE || is_abandoned(slot))
			return slot;
		if (slot->state == WF_SLOT_STOPPED)
			spare = slot;
	}

	return spare;
}

static WfWorkerSlot *
find_maintenance(Oid database)
{
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->state !=WF_SLOT_FREE && slot->kind == WF_WORKER_MAINTENANCE &&
			slot->database == database)
			return slot;
	}

	return NULL;
}

/*
 * Reserves a slot for a worker that the caller is about to start.  Returns
 * WF_NO_TICKET when the database has its maintenance worker, or when there is
 * no slot left.
 */
WfTicket
wf_registry_reserve(WfWorkerKind kind, Oid database, bool by_launcher)
{
	WfTicket	ticket = WF_NO_TICKET;
	WfWorkerSlot *slot;

	lock_registry(LW_EXCLUSIVE);
	slot = kind == WF_WORKER_MAINTENANCE ? find_maintenance(database) : NULL;
	if (slot == NULL)
		slot = find_free_slot();
	else if (!is_abandoned(slot))
		slot = NULL;
	if (slot != NULL)
	{
		memset(slot, 0, sizeof(*slot));
		slot->state = WF_SLOT_STARTING;
		slot->state_after = WF_SLOT_FREE;
		slot->kind = kind;
		slot->database = database;
		slot->generation = ++registry->last_generation;
		slot->pid = MyProcPid;
		slot->by_launcher = by_launcher;
		slot->started_at = GetCurrentTimestamp();
		ticket = ticket_of(slot);
	}
	unlock_registry();

	return ticket;
}

/*
 * Gives back a slot whose worker never came up.
 */
void
wf_registry_cancel(WfTicket ticket)
{
	WfWorkerSlot *slot;

	lock_registry(LW_EXCLUSIVE);
	slot = slot_of(ticket);
	if (slot != NULL && slot->state == WF_SLOT_STARTING)
		slot->state = WF_SLOT_FREE;
	unlock_registry();
}

/*
 * Gives the slot back when the process ends, and wakes who has to know.
 */
static void
release_at_exit(int code, Datum arg)
{
	WfWorkerKind kind = my_slot->kind;

	lock_registry(LW_EXCLUSIVE);
	my_slot->state = my_slot->state_after;
	if (my_slot->state == WF_SLOT_ABSENT && my_slot->is_outdated)
		my_slot->state = WF_SLOT_FREE;
	my_slot->is_ready = false;
	my_slot->pid = 0;
	unlock_registry();
	my_slot = NULL;

	if (kind == WF_WORKER_SQL || kind == WF_WORKER_HTTP)
		wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
	else if (kind == WF_WORKER_MAINTENANCE)
		wf_wake_now(WF_WAKE_LAUNCHER, NULL);
}

/*
 * Makes the slot of a ticket this process's own.  Returns false when it was
 * given to somebody else meanwhile: then this process is one too many.
 */
bool
wf_registry_take(WfTicket ticket, WfWorkerSlot *copy)
{
	WfWorkerSlot *slot;

	lock_registry(LW_EXCLUSIVE);
	slot = slot_of(ticket);
	if (slot != NULL && slot->state == WF_SLOT_STARTING)
	{
		slot->state = WF_SLOT_RUNNING;
		slot->pid = MyProcPid;
		slot->started_at = slot->last_activity = GetCurrentTimestamp();
		my_slot = slot;
		*copy = *slot;
	}
	unlock_registry();

	if (my_slot == NULL)
		return false;
	before_shmem_exit(release_at_exit, (Datum) 0);

	return true;
}

/*
 * Tells the starter that this worker is up.
 */
void
wf_registry_ready(void)
{
	if (my_slot == NULL)
		return;
	lock_registry(LW_EXCLUSIVE);
	my_slot->is_ready = true;
	unlock_registry();
}

/*
 * Says what this worker's slot becomes when it ends.
 */
void
wf_registry_end_as(WfSlotState state)
{
	lock_registry(LW_EXCLUSIVE);
	if (my_slot->state_after == WF_SLOT_FREE)
		my_slot->state_after = state;

	unlock_registry();
}

/*
 * Says what this worker does; nothing in a process that is none.
 */
void
wf_registry_doing(const char *doing)
{
	if (my_slot == NULL)
		return;
	lock_registry(LW_EXCLUSIVE);
	strlcpy(my_slot->doing, doing, WF_DOING_LENGTH);
	my_slot->last_activity = GetCurrentTimestamp();
	unlock_registry();
}

/*
 * Says how many calls or activities this worker has under way.
 */
void
wf_registry_in_flight(int in_flight)
{
	if (my_slot != NULL)
		my_slot->in_flight = in_flight;
}

/*
 * Copies all slots that are in use, into the current memory context.
 */
int
wf_registry_list(WfWorkerSlot **slots)
{
	int			n = 0;

	*slots = palloc(sizeof(WfWorkerSlot) * slot_count());
	lock_registry(LW_SHARED);
	for (int i = 0; i < registry->nslots; i++)
		if (registry->slots[i].state !=WF_SLOT_FREE)
			(*slots)[n++] = registry->slots[i];
	unlock_registry();

	return n;
}

/*
 * How many workers of a kind a database has, or will have in a moment.
 */
int
wf_registry_count(WfWorkerKind kind, Oid database)
{
	int			n = 0;

	lock_registry(LW_SHARED);
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->kind == kind && slot->database == database &&
			(slot->state == WF_SLOT_STARTING || slot->state == WF_SLOT_RUNNING))
			n++;
	}
	unlock_registry();

	return n;
}

/*
 * Asks the workers of a database to end and returns how many there are still.
 * The maintenance worker's slot becomes the state given, which keeps another
 * one from starting; so does a slot made for that, where there was no worker.
 */
int
wf_registry_terminate(Oid database, WfSlotState maintenance_state)
{
	int			n = 0;
	WfWorkerSlot *maintenance;

	lock_registry(LW_EXCLUSIVE);
	maintenance = find_maintenance(database);
	if (maintenance == NULL && (maintenance = find_free_slot()) != NULL)
	{
		memset(maintenance, 0, sizeof(*maintenance));
		maintenance->state = maintenance_state;
		maintenance->kind = WF_WORKER_MAINTENANCE;
		maintenance->database = database;
		maintenance->generation = ++registry->last_generation;
	}
	if (maintenance != NULL)
		maintenance->state_after = maintenance_state;

	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->database != database || slot->kind == WF_WORKER_LAUNCHER ||
			(slot->state !=WF_SLOT_RUNNING && slot->state !=WF_SLOT_STARTING))
			continue;
		n++;
		if (slot->state == WF_SLOT_RUNNING)
			(void) kill(slot->pid, SIGTERM);
	}
	unlock_registry();

	return n;
}

/*
 * Forgets that a database's maintenance worker was stopped, held or found no
 * extension; tells whether it was so.
 */
bool
wf_registry_clear(Oid database, WfSlotState state)
{
	bool		found = false;

	lock_registry(LW_EXCLUSIVE);
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->kind != WF_WORKER_MAINTENANCE || slot->database != database)
			continue;
		if (slot->state == state)
		{
			slot->state = WF_SLOT_FREE;
			found = true;
		}
		if (slot->state_after == state)
			slot->state_after = WF_SLOT_FREE;
	}
	unlock_registry();

	return found;
}

/*
 * Asks the launcher to look into a database again.  A worker that is looking
 * right now may have looked too early.
 */
void
wf_registry_ask_recheck(Oid database)
{
	WfWorkerSlot *maintenance;

	lock_registry(LW_EXCLUSIVE);
	maintenance = find_maintenance(database);
	if (maintenance != NULL)
		maintenance->is_outdated = true;
	if (registry->nrechecks == MAX_RECHECKS)
		registry->recheck_all = true;
	else
		registry->rechecks[registry->nrechecks++] = database;
	unlock_registry();
}

/*
 * Returns and forgets what was asked; *all when more was than could be kept.
 */
int
wf_registry_take_rechecks(Oid *databases, int size, bool *all)
{
	int			n;

	lock_registry(LW_EXCLUSIVE);
	n = Min(size, registry->nrechecks);
	memcpy(databases, registry->rechecks, sizeof(Oid) * n);
	*all = registry->recheck_all || n < registry->nrechecks;
	registry->nrechecks = 0;
	registry->recheck_all = false;
	unlock_registry();

	return n;
}

/*
 * The word that views show.
 */
const char *
wf_worker_kind_name(WfWorkerKind kind)
{
	switch (kind)
	{
		case WF_WORKER_LAUNCHER:
			return "launcher";
		case WF_WORKER_MAINTENANCE:
			return "maintenance";
		case WF_WORKER_SQL:
			return "sql";
		case WF_WORKER_HTTP:
			return "http";
	}
	return NULL;				/* keep the compiler quiet */
}
