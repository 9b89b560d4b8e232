/*
 * roster.c
 *	  Questions about all workers, and messages to them.
 */
#include "postgres.h"

#include <signal.h>

#include "base/wake.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"
#include "worker/registry_internal.h"

/*
 * Whether a worker of the database wants help and may have it: the database
 * has fewer workers than it may, and the server has as many processes left as
 * we use.
 */
bool
wf_registry_may_help(Oid database, int most)
{
	WfRegistry *registry;
	int			nused = 0;
	int			nworkers = 0;
	bool		wanted = false;

	registry = wf_registry_lock(LW_SHARED);
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->state != WF_SLOT_RUNNING && slot->state != WF_SLOT_STARTING)
			continue;
		nused++;
		if (slot->database != database || slot->kind == WF_WORKER_MAINTENANCE)
			continue;
		nworkers++;
		wanted |= slot->wants_help;
	}
	wf_registry_unlock();

	return wanted && nworkers < most && nused < max_worker_processes / 2;
}

/*
 * Copies all slots that are in use, into the current memory context.
 */
int
wf_registry_list(WfWorkerSlot **slots)
{
	WfRegistry *registry;
	int			n = 0;

	*slots = palloc(sizeof(WfWorkerSlot) * (max_worker_processes + 1));
	registry = wf_registry_lock(LW_SHARED);
	for (int i = 0; i < registry->nslots; i++)
		if (registry->slots[i].state != WF_SLOT_FREE)
			(*slots)[n++] = registry->slots[i];
	wf_registry_unlock();

	return n;
}

/*
 * How many workers of a kind a database has, or will have in a moment.
 */
int
wf_registry_count(WfWorkerKind kind, Oid database)
{
	WfRegistry *registry;
	int			n = 0;

	registry = wf_registry_lock(LW_SHARED);
	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->kind == kind && slot->database == database &&
			(slot->state == WF_SLOT_STARTING || slot->state == WF_SLOT_RUNNING))
			n++;
	}
	wf_registry_unlock();

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
	WfRegistry *registry;
	int			n = 0;
	WfWorkerSlot *maintenance;

	registry = wf_registry_lock(LW_EXCLUSIVE);
	maintenance = wf_registry_maintenance(database);
	if (maintenance == NULL && (maintenance = wf_registry_free_slot()) != NULL)
	{
		memset(maintenance, 0, sizeof(*maintenance));
		maintenance->state = maintenance_state;
		maintenance->kind = WF_WORKER_MAINTENANCE;
		maintenance->database = database;
		maintenance->generation = ++registry->last_generation;
	}
	if (maintenance != NULL)
	{
		maintenance->state_after = maintenance_state;
		if (maintenance->state == WF_SLOT_RESTING)
			maintenance->state = maintenance_state;
	}

	for (int i = 0; i < registry->nslots; i++)
	{
		WfWorkerSlot *slot = &registry->slots[i];

		if (slot->database != database || slot->kind == WF_WORKER_LAUNCHER ||
			(slot->state != WF_SLOT_RUNNING && slot->state != WF_SLOT_STARTING))
			continue;
		n++;
		slot->is_asked_to_end = true;
		if (slot->state == WF_SLOT_RUNNING)
			(void) kill(slot->pid, SIGTERM);
	}
	wf_registry_unlock();

	return n;
}

/*
 * Forgets that a database's maintenance worker was stopped, held or found no
 * extension; tells whether it was so.
 */
bool
wf_registry_clear(Oid database, WfSlotState state)
{
	WfRegistry *registry;
	bool		found = false;

	registry = wf_registry_lock(LW_EXCLUSIVE);
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
	wf_registry_unlock();

	return found;
}

/*
 * Asks the launcher to look into a database again.  A worker that is looking
 * right now may have looked too early.
 */
void
wf_registry_ask_recheck(Oid database)
{
	WfRegistry *registry;
	WfWorkerSlot *maintenance;

	registry = wf_registry_lock(LW_EXCLUSIVE);
	maintenance = wf_registry_maintenance(database);
	if (maintenance != NULL)
		maintenance->is_outdated = true;
	if (registry->nrechecks == WF_MAX_RECHECKS)
		registry->recheck_all = true;
	else
		registry->rechecks[registry->nrechecks++] = database;
	wf_registry_unlock();
}

/*
 * Returns and forgets what was asked; *all when more was than could be kept.
 */
int
wf_registry_take_rechecks(Oid *databases, int size, bool *all)
{
	WfRegistry *registry;
	int			n;

	registry = wf_registry_lock(LW_EXCLUSIVE);
	n = Min(size, registry->nrechecks);
	memcpy(databases, registry->rechecks, sizeof(Oid) * n);
	*all = registry->recheck_all || n < registry->nrechecks;
	registry->nrechecks = 0;
	registry->recheck_all = false;
	wf_registry_unlock();

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
