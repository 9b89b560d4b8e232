/*
 * wake.c
 *	  Waking, at commit, the processes that wait for what was committed.
 *
 * A process that waits for work registers what it waits for, then looks for
 * work, then sleeps on its latch: whatever commits after the registration
 * finds it and sets the latch, so no wake-up is lost and nobody polls.  A
 * transaction that makes work notes the topic; the transaction's end sets the
 * latches, once, after the rows are visible and its invalidations are sent:
 * who wakes must not find an endpoint or a role as it was before.
 *
 * Where a background worker of the topic is missing, the maintenance worker
 * of the database is woken instead and told which topic was missed, so that
 * it can start one.  Where that rests (rest.c), the launcher is.
 *
 * A transaction that is prepared wakes everybody too: its second phase may be
 * committed by a session that knows nothing of us, so the maintenance worker
 * is told to look again until prepared transactions are gone.
 *
 * Who has claimed with a lease is waited for until that ends.  Each waiter says in
 * its slot until when it sleeps; a commit wakes those who would sleep for longer, but
 * a maintenance worker that is awake: that heeds what it was told before it sleeps.
 *
 * Whoever watches over the work, the maintenance worker, need not be woken for each
 * piece of it: it says until when work is news to it.  Where something has gone
 * wrong it is woken if it would sleep for more than a second.
 *
 * How often the claims of a queue had a reason to look into the table of jobs
 * is counted, too: whoever has found nothing there need not look again before
 * the count has changed.
 * The registrations themselves are in listen.c.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/end.h"
#include "base/wake.h"
#include "base/wake_internal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* In a count: of a transaction that has stored something itself. */
#define OWN_CHANGES (UINT64CONST(1) << 63)

/* What the present transaction will wake. */
#define MAX_PENDING 16

/* How long what has gone wrong may stay unseen. */
#define WATCH_US USECS_PER_SEC

typedef struct Pending
{
	WfWakeTopic topic;
	uint32		queue_hash;
	bool		counts;			/* there is something new in the table */
} Pending;

static WakeBlock *block = NULL; /* once wake_block() was called */
static Pending pending[MAX_PENDING];
static int	n_pending = 0;
static bool pending_all_queues = false; /* more queues than we can tell apart */
static TimestampTz pending_end = DT_NOEND;	/* the first lease of the
											 * transaction that ends */
static uint32 pending_end_queue = 0;
static TimestampTz pending_care = DT_NOEND; /* when the maintenance worker has
											 * to look again */
static TimestampTz pending_fold = DT_NOEND; /* when what it has stored is to
											 * be folded */
static uint32 pending_agings = 0;	/* bits of WfAging */
static TimestampTz pending_watch = DT_NOEND;	/* when something will be
												 * late; DT_NOBEGIN: it is
												 * wrong now, or right again */
static WfEnd own_end = 0;

static WakeBlock *
wake_block(void)
{
	block = wf_wake_block();

	return block;
}

/*
 * Something is about to be noted: the transaction's end must not allocate.
 */
static void
prepare(void)
{
	(void) wake_block();
	wf_end_is_due(own_end);
}

/*
 * Sets the latches of all listeners; returns how many.  Called at the end of
 * transactions: must neither allocate nor raise.
 */
static int
wake_listeners(WfWakeTopic topic, uint32 queue_hash, Oid database, uint32 missed)
{
	int			woken = 0;

	/* who begins to listen after this sees what was committed before it */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&block->listeners[topic]) == 0)
		return 0;
	LWLockAcquire(&block->lock, LW_SHARED);
	for (int i = 0; i < block->used_slots; i++)
	{
		Slot	   *slot = &block->slots[i];

		if (!wf_wake_slot_listens(slot, topic, queue_hash, database))
			continue;
		if (missed != 0)
			pg_atomic_fetch_or_u32(&slot->missed, missed);
		wf_wake_slot(i);
		woken++;
	}
	LWLockRelease(&block->lock);

	return woken;
}

/*
 * Something has changed in the table that a claim of the queue (0: any) might
 * want to see.
 */
static void
count_change(WfWakeTopic topic, uint32 queue_hash)
{
	if (topic != WF_WAKE_TASK)
		return;
	pg_atomic_fetch_add_u64(queue_hash == 0 ? &block->all_queues :
							&block->queues[queue_hash % QUEUE_COUNTS], 1);
}

static void
wake_launcher(void)
{
	(void) wake_listeners(WF_WAKE_LAUNCHER, 0, InvalidOid, 0);
}

/*
 * Wakes the maintenance worker, or who is to start it again.  Returns false when
 * there is neither.
 */
static bool
wake_maintenance(uint32 missed)
{
	bool		is_news;
	bool		rests;

	if (wake_listeners(WF_WAKE_MAINTENANCE, 0, MyDatabaseId, missed) > 0)
		return true;
	rests = wf_rest_wake(block, &is_news);
	if (is_news)
		wake_launcher();

	return rests;
}

static void
wake_topic(WfWakeTopic topic, uint32 queue_hash)
{
	if (topic == WF_WAKE_MAINTENANCE)
		(void) wake_maintenance(0);
	else if (wake_listeners(topic, queue_hash, MyDatabaseId, 0) == 0 &&
			 (topic == WF_WAKE_SQL || topic == WF_WAKE_HTTP) && !wake_maintenance(1 << topic))
		wake_launcher();
}

/*
 * Wakes the maintenance worker, which gives back lost jobs and folds, and, with a
 * queue, whoever waits for its jobs (0: any), where they would sleep beyond that
 * time.  Looks without the lock first: most often there is nobody.
 */
static void
wake_long_sleepers(const uint32 *queue_hash, TimestampTz end)
{
	for (int i = 0; i < block->used_slots; i++)
	{
		Slot	   *slot = &block->slots[i];

		if (!slot->in_use || (queue_hash == NULL && slot->topic != WF_WAKE_MAINTENANCE) ||
			slot->database != MyDatabaseId || !wf_wake_sleeps_beyond(slot, end))
			continue;
		LWLockAcquire(&block->lock, LW_SHARED);
		if (wf_wake_slot_listens(slot, WF_WAKE_MAINTENANCE, 0, MyDatabaseId) ||
			(queue_hash != NULL &&
			 wf_wake_slot_listens(slot, WF_WAKE_TASK, *queue_hash, MyDatabaseId)))
			wf_wake_slot(i);
		LWLockRelease(&block->lock);
	}
	if (wf_rest_wake_by(block, end))
		wake_launcher();
}

/*
 * Tells the maintenance worker in a slot what it has to hear of that was committed
 * now.
 */
static void
tell_watcher(Slot *slot, int process, uint32 bits, bool wakes)
{
	LWLockAcquire(&block->lock, LW_SHARED);
	if (wf_wake_slot_listens(slot, WF_WAKE_MAINTENANCE, 0, MyDatabaseId))
	{
		pg_atomic_fetch_or_u32(&slot->missed, bits);
		if (wakes)
			wf_wake_slot(process);
	}
	LWLockRelease(&block->lock);
}

/*
 * What a maintenance worker has to hear of, as bits.
 */
static uint32
what_is_new(const Slot *slot, TimestampTz now)
{
	uint32		bits = 0;

	if ((TimestampTz) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &slot->news_until)) > now)
		bits |= WF_MISSED_NEWS;
	if ((TimestampTz) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &slot->look_at)) > pending_watch)
		bits |= WF_MISSED_TROUBLE;

	return bits;
}

static void
wake_watcher(void)
{
	TimestampTz now = GetCurrentTransactionStopTimestamp();
	TimestampTz soon = Max(pending_watch, now + WATCH_US);
	bool		rests = pg_atomic_read_u32(&block->nrests) > 0;

	int			watcher = wf_wake_watcher();

	if (watcher >= 0)
	{
		Slot	   *slot = &block->slots[watcher];
		uint32		bits = what_is_new(slot, now);

		if (bits != 0)
			tell_watcher(slot, watcher, bits, (bits & WF_MISSED_NEWS) != 0 ||
						 (TimestampTz) pg_atomic_read_u64(&slot->until) > soon);
	}
	if (rests && (wf_rest_wake_for_news(block, now) ||
				  (!TIMESTAMP_IS_NOEND(pending_watch) && wf_rest_wake_by(block, soon))))
		wake_launcher();
}

static void
wake_pending(void)
{
	for (int i = 0; pending_agings != 0 && i < WF_AGINGS; i++)
		if (pending_agings & (1U << i))
			pg_atomic_fetch_add_u64(&block->agings[i], 1);
	if (!TIMESTAMP_IS_NOEND(pending_care))
		wake_long_sleepers(NULL, pending_care);
	if (!TIMESTAMP_IS_NOEND(pending_fold) && !wf_wake_is_folded())
		wake_long_sleepers(NULL, pending_fold);
	if (!TIMESTAMP_IS_NOEND(pending_end))
		wake_long_sleepers(&pending_end_queue, pending_end);
	wake_watcher();
	for (int i = 0; i < n_pending; i++)
	{
		if (pending[i].counts)
			count_change(pending[i].topic, pending[i].queue_hash);
		wake_topic(pending[i].topic, pending[i].queue_hash);
	}
	if (!pending_all_queues)
		return;
	count_change(WF_WAKE_TASK, 0);
	for (int topic = WF_WAKE_TASK; topic <= WF_WAKE_MAINTENANCE; topic++)
		wake_topic(topic, 0);
	wake_topic(WF_WAKE_ROOM, 0);
}

static void
forget_pending(void)
{
	n_pending = 0;
	pending_all_queues = false;
	pending_end = DT_NOEND;
	pending_care = DT_NOEND;
	pending_fold = DT_NOEND;
	pending_agings = 0;
	pending_watch = DT_NOEND;
}

/*
 * The last step of a commit.  Invalidations are sent between the callbacks of
 * a transaction and this one.
 */
static void
wake_and_forget(void)
{
	wake_pending();
	forget_pending();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (n_pending == 0 && TIMESTAMP_IS_NOEND(pending_end) && TIMESTAMP_IS_NOEND(pending_care) &&
		TIMESTAMP_IS_NOEND(pending_fold) && TIMESTAMP_IS_NOEND(pending_watch))
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		wf_end_after_locks(wake_and_forget);
		return;
	}
	if (event == XACT_EVENT_PREPARE)
		(void) wake_maintenance(1 << WF_WAKE_MAINTENANCE);
	if (event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		forget_pending();
}

/*
 * The size of the block as far as it can be told while the server starts: the
 * number of processes is what InitProcGlobal will compute from MaxBackends.
 */
static Size
expected_block_size(void)
{
	return offsetof(WakeBlock, slots) +
		sizeof(Slot) * (MaxBackends + NUM_AUXILIARY_PROCS + max_prepared_xacts + 16);
}

/*
 * Called when the library is loaded.
 */
void
wf_wake_init(void)
{
	wf_request_shared_block(expected_block_size);
	own_end = wf_end_register(on_transaction_end, NULL);
}

void
wf_wake_prepare(void)
{
	(void) wake_block();
}

static void
note(WfWakeTopic topic, const char *queue, bool counts)
{
	uint32		queue_hash = wf_wake_hash(queue);

	prepare();
	for (int i = 0; i < n_pending; i++)
		if (pending[i].topic == topic && (pending[i].counts || !counts) &&
			(pending[i].queue_hash == 0 || pending[i].queue_hash == queue_hash))
			return;
	if (n_pending == MAX_PENDING)
	{
		pending_all_queues = true;
		return;
	}
	pending[n_pending].topic = topic;
	pending[n_pending].queue_hash = queue_hash;
	pending[n_pending].counts = counts;
	n_pending++;
}

/*
 * Notes that the present transaction makes work of a topic; a queue narrows
 * WF_WAKE_TASK to those who wait on it.
 */
void
wf_wake_at_commit(WfWakeTopic topic, const char *queue)
{
	note(topic, queue, true);
}

/*
 * The same for the claims of a queue, where nothing is new in the table of
 * jobs.
 */
void
wf_wake_waiters_at_commit(const char *queue)
{
	note(WF_WAKE_TASK, queue, false);
}

/*
 * The present transaction has given a lease in a queue, until then, in real time.
 */
void
wf_wake_by_at_commit(const char *queue, TimestampTz end)
{
	uint32		queue_hash = wf_wake_hash(queue);

	prepare();
	if (TIMESTAMP_IS_NOEND(pending_end))
		pending_end_queue = queue_hash;
	else if (pending_end_queue != queue_hash)
		pending_end_queue = 0;
	pending_end = Min(pending_end, end);
}

/*
 * The present transaction leaves something to the maintenance worker that has
 * time until then, in real time.
 */
void
wf_wake_maintenance_by_at_commit(TimestampTz end)
{
	prepare();
	pending_care = Min(pending_care, end);
}

/*
 * The present transaction has stored what is to be folded by then.
 */
void
wf_wake_folder_at_commit(TimestampTz end)
{
	prepare();
	pending_fold = Min(pending_fold, end);
}

/*
 * It makes something that the maintenance worker is to see to when it is old
 * enough, not before that time.
 */
void
wf_wake_aging_at_commit(WfAging what, TimestampTz end)
{
	wf_wake_maintenance_by_at_commit(end);
	pending_agings |= 1U << what;
}

/*
 * The present transaction records that something has gone wrong, or is over.
 */
void
wf_wake_watch_at_commit(void)
{
	wf_wake_watch_by_at_commit(DT_NOBEGIN);
}

/*
 * It records that something will be late at that time.
 */
void
wf_wake_watch_by_at_commit(TimestampTz time)
{
	prepare();
	pending_watch = Min(pending_watch, time);
}

/*
 * How often there was something new in the table of jobs for the claims of a
 * queue; names with the same hash count together.  What this transaction has
 * stored itself makes it another number.
 */
uint64
wf_wake_count(const char *queue)
{
	uint32		hash = wf_wake_hash(queue);
	uint64		count = pg_atomic_read_u64(&wake_block()->all_queues) +
	pg_atomic_read_u64(&wake_block()->queues[hash % QUEUE_COUNTS]);

	for (int i = 0; i < n_pending; i++)
		if (pending[i].topic == WF_WAKE_TASK && pending[i].counts &&
			(pending[i].queue_hash == 0 || pending[i].queue_hash == hash))
			return count | OWN_CHANGES;

	return pending_all_queues ? count | OWN_CHANGES : count;
}

/*
 * Wakes at once, outside of transactions.
 */
void
wf_wake_now(WfWakeTopic topic, const char *queue)
{
	(void) wake_block();
	count_change(topic, wf_wake_hash(queue));
	wake_topic(topic, wf_wake_hash(queue));
}

/*
 * Wakes the maintenance worker of another database.
 */
void
wf_wake_maintenance_of(Oid database)
{
	(void) wake_block();
	(void) wake_listeners(WF_WAKE_MAINTENANCE, 0, database, 0);
}
