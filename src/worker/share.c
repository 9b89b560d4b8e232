/*
 * share.c
 *	  Sharing the background workers of the server among databases.
 *
 * A maintenance worker says in its slot what the launcher has to know: until when
 * it sleeps, and whether it lacks a process for another worker of its database.
 * The launcher asks one to rest, which looks for work once more and ends, and
 * says whose turn it is while there are too few: nobody else takes a process then.
 */
#include "postgres.h"

#include "base/rest.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
#include "worker/registry_internal.h"
#include "worker/share.h"

/* Who lacks a process asks again each second. */
#define WANT_MS 5000

/* So long a maintenance worker stays, once started: longer than it takes to look twice. */
#define TENURE_MS 2000

/* And one that has work without a pause. */
#define BUSY_TENURE_MS 10000

/* So long it takes until the server knows that a process has ended. */
#define NOTICE_MS 1000

/*
 * Says that this worker sleeps until then, unless woken.
 */
void
wf_share_idle(TimestampTz due)
{
	WfWorkerSlot *me = wf_registry_my_slot();

	(void) wf_registry_lock(LW_EXCLUSIVE);
	me->is_idle = true;
	me->next_due = due;
	wf_registry_unlock();
}

void
wf_share_busy(void)
{
	WfWorkerSlot *me = wf_registry_my_slot();

	(void) wf_registry_lock(LW_EXCLUSIVE);
	me->is_idle = false;
	wf_registry_unlock();
}

/*
 * Says whether this worker's database lacks a process.
 */
void
wf_share_lack(bool lacks)
{
	WfWorkerSlot *me = wf_registry_my_slot();

	if (lacks == (me->lacks_since != 0))
		return;
	(void) wf_registry_lock(LW_EXCLUSIVE);
	me->lacks_since = lacks ? GetCurrentTimestamp() : 0;
	wf_registry_unlock();
	wf_wake_now(WF_WAKE_LAUNCHER, NULL);
}

bool
wf_share_is_asked_to_rest(void)
{
	bool		is_asked;

	(void) wf_registry_lock(LW_SHARED);
	is_asked = wf_registry_my_slot()->is_asked_to_rest;
	wf_registry_unlock();

	return is_asked;
}

/*
 * Whether a worker of the database may be started, as far as others are concerned.
 */
bool
wf_share_may_take(Oid database)
{
	WfRegistry *registry = wf_registry_lock(LW_SHARED);
	bool		may = !registry->is_scarce || registry->turn == database;

	wf_registry_unlock();

	return may;
}

/*
 * Ends this process, which has begun to rest; its database has work at that time.
 */
void
wf_share_rest(TimestampTz due)
{
	wf_rest_until(MyDatabaseId, due);
	wf_share_idle(due);
	wf_registry_end_as(WF_SLOT_RESTING);
	proc_exit(0);
}

/*
 * Asks the maintenance worker of a database to rest; tells whether there is one.
 */
bool
wf_share_ask_to_rest(Oid database)
{
	WfWorkerSlot *slot;
	bool		is_there;

	(void) wf_registry_lock(LW_EXCLUSIVE);
	slot = wf_registry_maintenance(database);
	is_there = slot != NULL && slot->state == WF_SLOT_RUNNING;
	if (is_there)
		slot->is_asked_to_rest = true;
	wf_registry_unlock();
	if (is_there)
		wf_wake_maintenance_of(database);

	return is_there;
}

/*
 * Says whether processes are too few, and for which database the next one is
 * (InvalidOid: for the launcher to give).
 */
void
wf_share_give_turn(bool is_scarce, Oid database)
{
	WfRegistry *registry = wf_registry_lock(LW_EXCLUSIVE);

	registry->is_scarce = is_scarce;
	registry->turn = database;
	wf_registry_unlock();
}

/*
 * Whether a worker has ended so lately that the server may not know yet that its
 * process is free.
 */
bool
wf_share_one_is_ending(void)
{
	WfRegistry *registry = wf_registry_lock(LW_SHARED);
	TimestampTz ended_at = registry->ended_at;

	wf_registry_unlock();

	return ended_at != 0 &&
		!TimestampDifferenceExceeds(ended_at, GetCurrentTimestamp(), NOTICE_MS);
}

/*
 * The database that has lacked a process for an sql or http worker for longest, or
 * InvalidOid.
 */
Oid
wf_share_first_lack(const WfWorkerSlot *slots, int n)
{
	const WfWorkerSlot *first = NULL;

	for (int i = 0; i < n; i++)
		if (slots[i].state == WF_SLOT_RUNNING && slots[i].lacks_since != 0 &&
			!slots[i].is_asked_to_rest &&
			(first == NULL || slots[i].lacks_since < first->lacks_since))
			first = &slots[i];

	return first == NULL ? InvalidOid : first->database;
}

/*
 * How unwilling a maintenance worker is to go, the least being 0; *at: from when on
 * it may be asked.
 */
static int
reluctance(const WfWorkerSlot *slot, TimestampTz now, TimestampTz *at)
{
	*at = TimestampTzPlusMilliseconds(slot->started_at, TENURE_MS);
	if (!slot->is_idle)
	{
		*at = TimestampTzPlusMilliseconds(slot->started_at, BUSY_TENURE_MS);
		return 3;
	}
	if (slot->lacks_since != 0)
		return 2;

	return slot->next_due < TimestampTzPlusMilliseconds(now, TENURE_MS) ? 1 : 0;
}

/*
 * The database whose maintenance worker is to rest, for that of another one or a
 * worker of the taker (InvalidOid: of whomever); of those that are equally
 * unwilling the one that has done nothing for longest.  InvalidOid, when there is
 * nobody yet; then *at is the time from when on somebody may be asked (DT_NOEND:
 * nobody).
 */
Oid
wf_share_giver(const WfWorkerSlot *slots, int n, Oid taker, TimestampTz *at)
{
	TimestampTz now = GetCurrentTimestamp();
	const WfWorkerSlot *best = NULL;
	int			least = 0;

	*at = DT_NOEND;
	for (int i = 0; i < n; i++)
	{
		const WfWorkerSlot *slot = &slots[i];
		TimestampTz from;
		int			r;

		if (slot->kind != WF_WORKER_MAINTENANCE || slot->state != WF_SLOT_RUNNING ||
			!slot->is_ready || slot->is_asked_to_rest || slot->database == taker)
			continue;
		r = reluctance(slot, now, &from);
		if (from > now)
			*at = Min(*at, from);
		else if (best == NULL || r < least ||
				 (r == least && slot->last_activity < best->last_activity))
		{
			best = slot;
			least = r;
		}
	}

	return best == NULL ? InvalidOid : best->database;
}

/*
 * Says that a process is lacking, to all sql and http workers that might have one to
 * spare.
 */
void
wf_registry_want_process(void)
{
	WfRegistry *registry = wf_registry_lock(LW_EXCLUSIVE);

	registry->wanted_at = GetCurrentTimestamp();
	wf_registry_unlock();
	wf_wake_workers_everywhere();
}

/*
 * Whether this worker, which can go, is to give its process up.  Who lacks one asks
 * again when nobody does.
 */
bool
wf_registry_may_yield(void)
{
	WfRegistry *registry = wf_registry_lock(LW_EXCLUSIVE);
	bool		is_wanted = registry->wanted_at != 0 &&
	!TimestampDifferenceExceeds(registry->wanted_at, GetCurrentTimestamp(), WANT_MS);

	if (is_wanted)
		registry->wanted_at = 0;
	wf_registry_unlock();

	return is_wanted;
}

/*
 * Whether this worker, which has work, is to give its process up all the same: it
 * has worked for a while, others wait for their turn, and this database gets
 * another one.
 */
bool
wf_share_had_its_turn(void)
{
	return wf_registry_block()->is_scarce &&
		TimestampDifferenceExceeds(MyStartTimestamp, GetCurrentTimestamp(), WF_TURN_MS) &&
		wf_registry_may_yield();
}
