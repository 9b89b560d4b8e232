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

#include "base/compat.h"
#include "base/session.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "worker/registry_internal.h"

static WfRegistry *registry = NULL;
static WfWorkerSlot *my_slot = NULL;

static int
slot_count(void)
{
	return max_worker_processes + 1;
}

static Size
registry_size(void)
{
	return offsetof(WfRegistry, slots) + sizeof(WfWorkerSlot) * slot_count();
}

static void
init_registry(void *memory)
{
	WfRegistry *new_registry = memory;

	new_registry->tranche = LWLockNewTrancheId();
	new_registry->nslots = slot_count();
	LWLockInitialize(&new_registry->lock, new_registry->tranche);
	pg_atomic_init_u32(&new_registry->deaths, 0);
}

/*
 * Called when the library is loaded; preloaded, asks for the memory.
 */
void
wf_registry_init(void)
{
	wf_request_shared_block(registry_size);
}

static void
attach(void)
{
	if (registry != NULL)
		return;
	registry = wf_shared_block("pg_workflow workers", registry_size(), init_registry);
	LWLockRegisterTranche(registry->tranche, "pg_workflow workers");
}

/*
 * The registry, for who looks at single numbers without the lock.
 */
WfRegistry *
wf_registry_block(void)
{
	attach();

	return registry;
}

/*
 * Locks the registry and returns it.
 */
WfRegistry *
wf_registry_lock(LWLockMode mode)
{
	attach();
	LWLockAcquire(&registry->lock, mode);

	return registry;
}

void
wf_registry_unlock(void)
{
	LWLockRelease(&registry->lock);
}

/*
 * The slot of this process, which is a worker.
 */
WfWorkerSlot *
wf_registry_my_slot(void)
{
	return my_slot;
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
	return slot->state == WF_SLOT_STARTING &&
		!wf_session_lives(slot->pid, slot->process_start);
}

/*
 * Finds a slot that may be used; what a person stopped yields when no other
 * is left.
 */
WfWorkerSlot *
wf_registry_free_slot(void)
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

/*
 * The slot of the maintenance worker of a database, in whatever state.
 */
WfWorkerSlot *
wf_registry_maintenance(Oid database)
{
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->state != WF_SLOT_FREE && slot->kind == WF_WORKER_MAINTENANCE &&
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

	(void) wf_registry_lock(LW_EXCLUSIVE);
	slot = kind == WF_WORKER_MAINTENANCE ? wf_registry_maintenance(database) : NULL;
	if (slot == NULL)
		slot = wf_registry_free_slot();
	else if (!is_abandoned(slot) && slot->state != WF_SLOT_RESTING)
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
		slot->process_start = MyStartTimestamp;
		slot->by_launcher = by_launcher;
		slot->started_at = GetCurrentTimestamp();
		ticket = ticket_of(slot);
	}
	wf_registry_unlock();

	return ticket;
}

/*
 * Gives back a slot whose worker never came up.
 */
void
wf_registry_cancel(WfTicket ticket)
{
	WfWorkerSlot *slot;

	(void) wf_registry_lock(LW_EXCLUSIVE);
	slot = slot_of(ticket);
	if (slot != NULL && slot->state == WF_SLOT_STARTING)
		slot->state = WF_SLOT_FREE;
	wf_registry_unlock();
}

/*
 * Gives the slot back when the process ends, and wakes who has to know.
 */
static void
release_at_exit(int code, Datum arg)
{
	WfWorkerKind kind = my_slot->kind;
	bool		is_scarce;

	(void) wf_registry_lock(LW_EXCLUSIVE);
	my_slot->state = my_slot->state_after;
	if (my_slot->state == WF_SLOT_ABSENT && my_slot->is_outdated)
		my_slot->state = WF_SLOT_FREE;
	my_slot->is_ready = false;
	my_slot->lacks_since = 0;
	my_slot->pid = 0;
	if (kind == WF_WORKER_LAUNCHER)
		registry->is_scarce = false;
	is_scarce = registry->is_scarce;
	registry->ended_at = GetCurrentTimestamp();
	wf_registry_unlock();
	my_slot = NULL;

	if (kind == WF_WORKER_SQL || kind == WF_WORKER_HTTP)
		wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
	if (kind == WF_WORKER_MAINTENANCE || is_scarce)
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

	(void) wf_registry_lock(LW_EXCLUSIVE);
	slot = slot_of(ticket);
	if (slot != NULL && slot->state == WF_SLOT_STARTING)
	{
		slot->state = WF_SLOT_RUNNING;
		slot->pid = MyProcPid;
		slot->process_start = MyStartTimestamp;
		slot->started_at = slot->last_activity = GetCurrentTimestamp();
		my_slot = slot;
		*copy = *slot;
	}
	wf_registry_unlock();

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
	(void) wf_registry_lock(LW_EXCLUSIVE);
	my_slot->is_ready = true;
	wf_registry_unlock();
	if (my_slot->kind == WF_WORKER_MAINTENANCE)
		wf_wake_now(WF_WAKE_LAUNCHER, NULL);	/* which may start the next
												 * one */
}

/*
 * Says what this worker's slot becomes when it ends.
 */
void
wf_registry_end_as(WfSlotState state)
{
	(void) wf_registry_lock(LW_EXCLUSIVE);
	if (my_slot->state_after == WF_SLOT_FREE)
		my_slot->state_after = state;

	wf_registry_unlock();
}

/*
 * Says what this worker does; nothing in a process that is none.
 */
void
wf_registry_doing(const char *doing)
{
	if (my_slot == NULL)
		return;
	(void) wf_registry_lock(LW_EXCLUSIVE);
	strlcpy(my_slot->doing, doing, WF_DOING_LENGTH);
	my_slot->last_activity = GetCurrentTimestamp();
	wf_registry_unlock();
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
 * Says whether this worker has more to do than it gets done.
 */
void
wf_registry_want_help(bool wanted)
{
	if (my_slot == NULL || my_slot->wants_help == wanted)
		return;
	(void) wf_registry_lock(LW_EXCLUSIVE);
	my_slot->wants_help = wanted;
	wf_registry_unlock();
	if (wanted)
		wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * What this worker does at present.
 */
const char *
wf_registry_what_is_done(void)
{
	return my_slot == NULL ? "" : my_slot->doing;
}

/*
 * Says which parts of this worker's rounds fail, as bits; and of one of them since when,
 * at what, and how.
 */
void
wf_registry_failing(uint32 failing, TimestampTz since, const char *at, const char *how)
{
	if (my_slot == NULL)
		return;
	(void) wf_registry_lock(LW_EXCLUSIVE);
	my_slot->failing = failing;
	my_slot->failing_since = since;
	strlcpy(my_slot->failing_at, at, WF_DOING_LENGTH);
	strlcpy(my_slot->failure, how, WF_FAILURE_LENGTH);
	wf_registry_unlock();
}

/*
 * Whether somebody asked this worker to end.
 */
bool
wf_registry_is_asked_to_end(void)
{
	bool		is_asked = false;

	if (my_slot == NULL)
		return false;
	(void) wf_registry_lock(LW_SHARED);
	is_asked = my_slot->is_asked_to_end;
	wf_registry_unlock();

	return is_asked;
}

/*
 * Says that this process dies with a job that it ran.
 */
void
wf_registry_note_death(void)
{
	attach();
	pg_atomic_fetch_add_u32(&registry->deaths, 1);
	wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * How many did, in all databases, since the server started.
 */
uint32
wf_registry_deaths(void)
{
	attach();

	return pg_atomic_read_u32(&registry->deaths);
}
