/*
 * listen.c
 *	  Registering what a process waits for, so that commits wake it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/wake.h"
#include "base/wake_internal.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

static WakeBlock *block = NULL;
static bool exit_hook_set = false;

static Size
block_size(void)
{
	return offsetof(WakeBlock, slots) + sizeof(Slot) * ProcGlobal->allProcCount;
}

static void
init_block(void *memory)
{
	WakeBlock  *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	LWLockInitialize(&new_block->lock, new_block->tranche);
	pg_atomic_init_u64(&new_block->all_queues, 0);
	for (int i = 0; i < WF_AGINGS; i++)
		pg_atomic_init_u64(&new_block->agings[i], 0);
	pg_atomic_init_u32(&new_block->nrests, 0);
	pg_atomic_init_u32(&new_block->rests_overflow, 0);
	pg_atomic_init_u32(&new_block->rests_unlisted, 0);
	for (int i = 0; i < WF_WAKE_TOPICS; i++)
		pg_atomic_init_u32(&new_block->listeners[i], 0);
	for (int i = 0; i < QUEUE_COUNTS; i++)
		pg_atomic_init_u64(&new_block->queues[i], 0);
	for (int i = 0; i < ProcGlobal->allProcCount; i++)
	{
		pg_atomic_init_u32(&new_block->slots[i].missed, 0);
		pg_atomic_init_u64(&new_block->slots[i].until, (uint64) DT_NOEND);
		pg_atomic_init_u64(&new_block->slots[i].look_at, (uint64) DT_NOEND);
		pg_atomic_init_u64(&new_block->slots[i].news_until, (uint64) DT_NOBEGIN);
		pg_atomic_init_u32(&new_block->slots[i].woken, 0);
		pg_atomic_init_u32(&new_block->slots[i].will_fold, 0);
		pg_atomic_init_u64(&new_block->slots[i].told, (uint64) DT_NOEND);
		pg_atomic_init_u32(&new_block->slots[i].will_heed, 0);
	}
}

WakeBlock *
wf_wake_block(void)
{
	if (block == NULL)
	{
		block = wf_shared_block("pg_workflow wake", block_size(), init_block);
		LWLockRegisterTranche(block->tranche, "pg_workflow wake");
	}

	return block;
}

uint32
wf_wake_hash(const char *queue)
{
	uint32		hash;

	if (queue == NULL)
		return 0;
	hash = hash_bytes((const unsigned char *) queue, strlen(queue));

	return hash == 0 ? 1 : hash;
}

bool
wf_wake_slot_listens(const Slot *slot, WfWakeTopic topic, uint32 queue_hash, Oid database)
{
	return slot->in_use && slot->topic == topic &&
		(topic == WF_WAKE_LAUNCHER || slot->database == database) &&
		(slot->queue_hash == 0 || queue_hash == 0 || slot->queue_hash == queue_hash);
}

/*
 * Until when this process, which listens, is going to sleep.  Before it looks, it
 * says DT_NOEND: so that it wakes for what it did not see.
 */
void
wf_wake_sleep_until(TimestampTz until)
{
	pg_atomic_write_u64(&wf_wake_block()->slots[wf_my_proc_number()].until, (uint64) until);
}

/*
 * Until when work that is committed is news to this maintenance worker: what comes
 * later it will see early enough, since it looks for what is late at that time.
 */
void
wf_wake_news_until(TimestampTz until, TimestampTz look_at)
{
	Slot	   *slot = &wf_wake_block()->slots[wf_my_proc_number()];

	pg_atomic_write_u64(&slot->news_until, (uint64) until);
	pg_atomic_write_u64(&slot->look_at, (uint64) look_at);
}

/*
 * Whether this maintenance worker will fold what is stored from now on, or look
 * for it, without being told.
 */
void
wf_wake_will_fold(bool will)
{
	pg_atomic_write_u32(&wf_wake_block()->slots[wf_my_proc_number()].will_fold, will ? 1 : 0);
	pg_memory_barrier();		/* who looks now sees what was committed
								 * before */
}

/*
 * This maintenance worker is awake: what ends at a time need not wake it, as it heeds
 * what it is told before it sleeps.
 */
void
wf_wake_will_heed(void)
{
	pg_atomic_write_u32(&wf_wake_block()->slots[wf_my_proc_number()].will_heed, 1);
}

/*
 * It is about to look at all that has an end, and sees what it was told of so far.
 */
void
wf_wake_forget_told(void)
{
	(void) pg_atomic_exchange_u64(&wf_wake_block()->slots[wf_my_proc_number()].told,
								  (uint64) DT_NOEND);	/* a barrier, too */
}

/*
 * It is going to sleep until then, unless for less long: returns the first end that
 * it was told of.  Whoever commits an earlier one from now on wakes it.
 */
TimestampTz
wf_wake_heed(TimestampTz until)
{
	Slot	   *slot = &wf_wake_block()->slots[wf_my_proc_number()];

	pg_atomic_write_u64(&slot->until, (uint64) until);
	pg_write_barrier();
	pg_atomic_write_u32(&slot->will_heed, 0);
	pg_memory_barrier();

	return (TimestampTz) pg_atomic_read_u64(&slot->told);
}

/*
 * Tells the process of a slot, which listens, of an end that was committed; whether
 * that is not enough, as it may be asleep by now, and for longer.  Once it was told
 * of an early end, who commits later ones only reads that.
 */
bool
wf_wake_sleeps_beyond(Slot *slot, TimestampTz end)
{
	uint64		told = pg_atomic_read_u64(&slot->told);

	while ((TimestampTz) told > end &&
		   !pg_atomic_compare_exchange_u64(&slot->told, &told, (uint64) end))
		;
	pg_memory_barrier();		/* who says that it will not, reads it then */
	if (pg_atomic_read_u32(&slot->will_heed) != 0)
		return false;
	pg_read_barrier();

	return (TimestampTz) pg_atomic_read_u64(&slot->until) > end;
}

/*
 * Wakes the process of a slot.  Called at the end of transactions: must neither
 * allocate nor raise.
 */
void
wf_wake_slot(int number)
{
	pg_atomic_write_u32(&block->slots[number].woken, 1);
	pg_memory_barrier();
	SetLatch(&ProcGlobal->allProcs[number].procLatch);
}

/*
 * Sleeps until one of us wakes this process, which listens, or until then.  Others set
 * its latch, too: the server itself does, a minute after a connection is made, as
 * the timer of its authentication runs out.  Returns at once where it was woken since
 * the last sleep: that is, while it looked.
 */
void
wf_wake_sleep(TimestampTz until, uint32 wait_event)
{
	Slot	   *slot = &wf_wake_block()->slots[wf_my_proc_number()];

	wf_wake_sleep_until(until);
	while (pg_atomic_exchange_u32(&slot->woken, 0) == 0)
	{
		long		milliseconds = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (milliseconds <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
						 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	wf_wake_sleep_until(DT_NOEND);
}

static bool
watches(const Slot *slot)
{
	return slot->in_use && slot->topic == WF_WAKE_MAINTENANCE && slot->database == MyDatabaseId;
}

/*
 * The slot of the maintenance worker of this database, of which there is one at most;
 * -1: none listens.  Looks without the lock, first where it was the last time: most
 * commits ask.
 */
int
wf_wake_watcher(void)
{
	static int	last = 0;
	WakeBlock  *all = wf_wake_block();

	if (watches(&all->slots[last]))
		return last;
	if (pg_atomic_read_u32(&all->listeners[WF_WAKE_MAINTENANCE]) == 0)
		return -1;
	for (int i = 0; i < all->used_slots; i++)
		if (watches(&all->slots[i]))
			return last = i;

	return -1;
}

bool
wf_wake_is_watched(void)
{
	return wf_wake_watcher() >= 0;
}

/*
 * Whether the maintenance worker will fold what was committed without being told:
 * while items move it means to, and each commit would wake it while it is awake.
 */
bool
wf_wake_is_folded(void)
{
	int			watcher = wf_wake_watcher();

	pg_memory_barrier();		/* who is to look looks after this commit */

	return watcher >= 0 && pg_atomic_read_u32(&block->slots[watcher].will_fold) != 0;
}

/*
 * Claims have been committed whose rows the maintenance worker has to write by then:
 * wakes it if it would sleep for longer.  That is all it is told, so "woken" stays
 * as it is.  Called at the end of transactions: neither allocates nor raises.
 */
void
wf_wake_for_claims(TimestampTz by)
{
	int			watcher = wf_wake_watcher();
	Slot	   *slot = &block->slots[Max(watcher, 0)];

	if (watcher < 0 || (TimestampTz) pg_atomic_read_u64(&slot->until) <= by)
		return;
	LWLockAcquire(&block->lock, LW_SHARED);
	if (watches(slot))
	{
		pg_atomic_fetch_or_u32(&slot->missed, WF_MISSED_CLAIMS);
		SetLatch(&ProcGlobal->allProcs[watcher].procLatch);
	}
	LWLockRelease(&block->lock);
}

/*
 * Whether one of us has woken this process since it asked last.
 */
bool
wf_wake_take_woken(void)
{
	return pg_atomic_exchange_u32(&wf_wake_block()->slots[wf_my_proc_number()].woken, 0) != 0;
}

static void
unlisten_at_exit(int code, Datum arg)
{
	wf_wake_unlisten();
}

static void
count_out(Slot *slot)
{
	if (slot->in_use)
		pg_atomic_fetch_sub_u32(&block->listeners[slot->topic], 1);
	slot->in_use = false;
}

/*
 * Registers this process as waiting for a topic (and queue, or NULL for any).
 * Look for work only after this call; then sleep on MyLatch.
 */
void
wf_wake_listen(WfWakeTopic topic, const char *queue)
{
	(void) wf_wake_listen_instead(topic, queue);
}

WfWakeSeat
wf_wake_listen_instead(WfWakeTopic topic, const char *queue)
{
	WfWakeSeat	wanted = {.in_use = true,.topic = topic,.queue_hash = wf_wake_hash(queue)};
	Slot	   *slot = &wf_wake_block()->slots[wf_my_proc_number()];
	WfWakeSeat	before = {
		.in_use = slot->in_use,.topic = slot->topic,.queue_hash = slot->queue_hash
	};

	if (!exit_hook_set)
	{
		before_shmem_exit(unlisten_at_exit, (Datum) 0);
		exit_hook_set = true;
	}
	wf_wake_listen_again(wanted);

	return before;
}

void
wf_wake_listen_again(WfWakeSeat seat)
{
	int			me = wf_my_proc_number();
	Slot	   *slot = &wf_wake_block()->slots[me];

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	count_out(slot);
	if (seat.in_use)
		pg_atomic_fetch_add_u32(&block->listeners[seat.topic], 1);
	slot->topic = seat.topic;
	slot->database = MyDatabaseId;
	slot->queue_hash = seat.queue_hash;
	pg_atomic_write_u64(&slot->until, (uint64) DT_NOEND);
	pg_atomic_write_u64(&slot->look_at, (uint64) DT_NOEND);
	pg_atomic_write_u64(&slot->news_until, (uint64) DT_NOBEGIN);
	pg_atomic_write_u32(&slot->will_fold, 0);
	pg_atomic_write_u64(&slot->told, (uint64) DT_NOEND);
	pg_atomic_write_u32(&slot->will_heed, 0);
	slot->in_use = seat.in_use;
	block->used_slots = Max(block->used_slots, me + 1);
	LWLockRelease(&block->lock);
}

/*
 * Ends the registration of this process; harmless when there is none.
 */
void
wf_wake_unlisten(void)
{
	Slot	   *slot;

	if (block == NULL)
		return;
	slot = &block->slots[wf_my_proc_number()];
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	count_out(slot);
	LWLockRelease(&block->lock);
	pg_atomic_write_u32(&slot->missed, 0);
}

/*
 * Returns and forgets the topics (as bits) that nobody listened to.
 */
uint32
wf_wake_take_missed(void)
{
	return pg_atomic_exchange_u32(&wf_wake_block()->slots[wf_my_proc_number()].missed, 0);
}

/*
 * Tells whether some process of the database listens to a topic now.
 */
bool
wf_wake_anyone_listens(WfWakeTopic topic, Oid database)
{
	bool		found = false;

	LWLockAcquire(&wf_wake_block()->lock, LW_SHARED);
	for (int i = 0; i < block->used_slots && !found; i++)
		found = wf_wake_slot_listens(&block->slots[i], topic, 0, database);
	LWLockRelease(&block->lock);

	return found;
}

/*
 * How often transactions, also those of other databases, have made such a thing:
 * who has found none need not look again before the count has changed.
 */
uint64
wf_wake_aging_count(WfAging what)
{
	return pg_atomic_read_u64(&wf_wake_block()->agings[what]);
}

/*
 * Wakes the sql and http workers of all databases.
 */
void
wf_wake_workers_everywhere(void)
{
	LWLockAcquire(&wf_wake_block()->lock, LW_SHARED);
	for (int i = 0; i < block->used_slots; i++)
		if (block->slots[i].in_use &&
			(block->slots[i].topic == WF_WAKE_SQL || block->slots[i].topic == WF_WAKE_HTTP))
			wf_wake_slot(i);
	LWLockRelease(&block->lock);
}
