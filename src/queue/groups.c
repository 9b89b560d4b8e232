/*
 * groups.c
 *	  The shared memory of groups that are to be mended.
 *
 * A group is named when two transactions have told each other that they were at
 * it together.  All groups of a queue are looked at once after the start of the
 * server, when a transaction has ended that was prepared, after a restore, and
 * when there are more names than places.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "base/compat.h"
#include "base/table.h"
#include "common/hashfn.h"
#include "groups.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define COUNTERS 4096
#define PLACES 256				/* of names */
#define QUEUES 1024
#define WAYS 4					/* in which a queue may stand */

/* While a transaction from before the start is left, all is looked at so often. */
#define LOOK_EVERY_US USECS_PER_SEC

typedef struct Left
{
	uint64		version;		/* 0: not in use */
	WfTrackKey	key;
	char		group[WF_GROUP_NAME];
} Left;

/* A queue whose groups were all looked at. */
typedef struct Seen
{
	WfTrackKey	key;
	uint64		epoch;			/* in which; 0: not in use */
	TimestampTz at;
} Seen;

typedef struct GroupBlock
{
	int			tranche;
	LWLock		lock;
	uint64		epoch;			/* another one: all queues anew */
	uint64		versions;
	TransactionId since;		/* of what began before it nobody was told */
	bool		is_settled;		/* and all of that has ended */
	pg_atomic_uint32 n_left;
	pg_atomic_uint32 n_holds;
	Left		left[PLACES];
	Seen		seen[QUEUES];
	pg_atomic_uint64 counters[2][COUNTERS];
	int			max_holds;
	TransactionId holds[FLEXIBLE_ARRAY_MEMBER]; /* that are prepared */
} GroupBlock;

static bool is_preloaded = false;
static GroupBlock *block = NULL;
static WfTable job_table = {"job"};

static int
max_holds(void)
{
	return 2 * max_prepared_xacts + 1;
}

static Size
block_size(void)
{
	return offsetof(GroupBlock, holds) + sizeof(TransactionId) * max_holds();
}

static void
init_block(void *memory)
{
	GroupBlock *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	LWLockInitialize(&new_block->lock, new_block->tranche);
	new_block->epoch = 1;
	new_block->since = ReadNextTransactionId();
	new_block->is_settled = max_prepared_xacts == 0;
	new_block->max_holds = max_holds();
	pg_atomic_init_u32(&new_block->n_left, 0);
	pg_atomic_init_u32(&new_block->n_holds, 0);
	for (int i = 0; i < COUNTERS; i++)
	{
		pg_atomic_init_u64(&new_block->counters[WF_GROUP_BEHIND][i], 0);
		pg_atomic_init_u64(&new_block->counters[WF_GROUP_ENDS][i], 0);
	}
}

bool
wf_groups_are_kept(void)
{
	if (block != NULL)
		return true;
	if (!is_preloaded)
		return false;
	block = wf_shared_block("pg_workflow groups", block_size(), init_block);
	LWLockRegisterTranche(block->tranche, "pg_workflow groups");

	return true;
}

void
wf_groups_init(void)
{
	is_preloaded = process_shared_preload_libraries_in_progress;
	wf_request_shared_block(block_size);
	wf_group_notes_init();
}

WfTrackKey
wf_groups_key(const char *queue)
{
	return wf_track_key(wf_table_oid(&job_table), "groups", queue);
}

uint32
wf_groups_bucket(const WfTrackKey *key, const char *group)
{
	return (uint32) (hash_bytes_extended((const unsigned char *) group, strlen(group),
										 key->hash[0] ^ key->database) % COUNTERS);
}

/*
 * Read before the snapshot is taken with which one looks.
 */
uint64
wf_groups_count(WfGroupCounter counter, uint32 bucket)
{
	uint64		count = pg_atomic_read_u64(&block->counters[counter][bucket]);

	pg_memory_barrier();

	return count;
}

/*
 * A full barrier: what is read after it tells of all who have added before.
 */
void
wf_groups_add(WfGroupCounter counter, uint32 bucket)
{
	pg_atomic_fetch_add_u64(&block->counters[counter][bucket], 1);
}

/* ------------------------------------------------------- what is to be mended */

static Seen *
find_seen(const WfTrackKey *key)
{
	for (int i = 0; i < WAYS; i++)
	{
		Seen	   *seen = &block->seen[(key->hash[0] + i) % QUEUES];

		if (wf_track_key_is(&seen->key, key))
			return seen;
	}

	return NULL;
}

/*
 * Another queue gives way, which is looked at once more then.
 */
static Seen *
place_for(const WfTrackKey *key)
{
	Seen	   *place = find_seen(key);

	for (int i = 0; i < WAYS && place == NULL; i++)
		if (block->seen[(key->hash[0] + i) % QUEUES].epoch == 0)
			place = &block->seen[(key->hash[0] + i) % QUEUES];
	if (place == NULL)
		place = &block->seen[(key->hash[0] + key->hash[1] % WAYS) % QUEUES];
	place->key = *key;

	return place;
}

/*
 * All groups of a queue have been looked at, when it was that epoch.
 */
void
wf_groups_all_mended(const WfTrackKey *key, uint64 epoch)
{
	Seen	   *seen;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	seen = place_for(key);
	seen->epoch = epoch;
	seen->at = GetCurrentTimestamp();
	LWLockRelease(&block->lock);
}

static Left *
find_left(const WfTrackKey *key, const char *group)
{
	for (int i = 0; i < PLACES; i++)
	{
		Left	   *left = &block->left[i];

		if (left->version != 0 && wf_track_key_is(&left->key, key) && strcmp(left->group, group) == 0)
			return left;
	}

	return NULL;
}

static Left *
free_place(const WfTrackKey *key, const char *group)
{
	for (int i = 0; i < PLACES; i++)
	{
		Left	   *left = &block->left[i];

		if (left->version != 0)
			continue;
		left->key = *key;
		strcpy(left->group, group);
		pg_atomic_fetch_add_u32(&block->n_left, 1);
		return left;
	}

	return NULL;
}

/*
 * A group, or with NULL any of the queue, is to be mended from now on.
 */
void
wf_groups_leave(const WfTrackKey *key, const char *group)
{
	bool		is_named = group != NULL && strlen(group) < WF_GROUP_NAME;
	Left	   *left;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	left = is_named ? find_left(key, group) : NULL;
	if (is_named && left == NULL)
		left = free_place(key, group);
	if (left == NULL)
		block->epoch++;
	else
		left->version = ++block->versions;
	LWLockRelease(&block->lock);
}

void
wf_groups_leave_all(void)
{
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	block->epoch++;
	LWLockRelease(&block->lock);
}

/*
 * A group is fine, unless it was named anew meanwhile.
 */
void
wf_groups_mended(const WfTrackKey *key, const char *group, uint64 version)
{
	Left	   *left;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	left = find_left(key, group);
	if (left != NULL && left->version == version)
	{
		left->version = 0;
		pg_atomic_fetch_sub_u32(&block->n_left, 1);
	}
	LWLockRelease(&block->lock);
}

bool
wf_groups_any_left(const char *queue)
{
	WfTrackKey	key;
	bool		found = false;

	if (!wf_groups_are_kept() || pg_atomic_read_u32(&block->n_left) == 0)
		return false;
	key = wf_groups_key(queue);
	LWLockAcquire(&block->lock, LW_SHARED);
	for (int i = 0; i < PLACES && !found; i++)
		found = block->left[i].version != 0 && wf_track_key_is(&block->left[i].key, &key);
	LWLockRelease(&block->lock);

	return found;
}

static void
copy_left(const WfTrackKey *key, WfMend *mend)
{
	mend->groups = palloc(sizeof(char *) * PLACES);
	mend->versions = palloc(sizeof(uint64) * PLACES);
	for (int i = 0; i < PLACES; i++)
		mend->groups[i] = palloc(WF_GROUP_NAME);
	LWLockAcquire(&block->lock, LW_SHARED);
	for (int i = 0; i < PLACES; i++)
	{
		const Left *left = &block->left[i];

		if (left->version == 0 || !wf_track_key_is(&left->key, key) ||
			wf_groups_has_mended(key, left->group, left->version))
			continue;
		strcpy(mend->groups[mend->n], left->group);
		mend->versions[mend->n++] = left->version;
	}
	LWLockRelease(&block->lock);
}

/* -------------------------------------------------------- prepared transactions */

/*
 * Who ends a transaction that was prepared tells nobody.
 */
void
wf_groups_hold(TransactionId xid)
{
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u32(&block->n_holds) < block->max_holds)
		block->holds[pg_atomic_fetch_add_u32(&block->n_holds, 1)] = xid;
	else
	{
		block->since = ReadNextTransactionId();
		block->is_settled = false;
		block->epoch++;
	}
	LWLockRelease(&block->lock);
}

static void
let_go(TransactionId xid)
{
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	for (int i = pg_atomic_read_u32(&block->n_holds) - 1; i >= 0; i--)
		if (block->holds[i] == xid)
			block->holds[i] = block->holds[pg_atomic_sub_fetch_u32(&block->n_holds, 1)];
	block->epoch++;
	LWLockRelease(&block->lock);
}

/*
 * Lets go of the transactions that have ended since they were prepared.
 */
static void
check_holds(void)
{
	TransactionId *xids;
	int			n;

	if (pg_atomic_read_u32(&block->n_holds) == 0)
		return;
	xids = palloc(sizeof(TransactionId) * block->max_holds);
	LWLockAcquire(&block->lock, LW_SHARED);
	n = pg_atomic_read_u32(&block->n_holds);
	memcpy(xids, block->holds, sizeof(TransactionId) * n);
	LWLockRelease(&block->lock);
	for (int i = 0; i < n; i++)
		if (!TransactionIdIsInProgress(xids[i]))
			let_go(xids[i]);
}

/*
 * Whether all has ended of which nobody was told.
 */
static bool
is_settled(void)
{
	Snapshot	snapshot;
	TransactionId since = block->since;

	if (block->is_settled)
		return true;
	snapshot = GetLatestSnapshot();
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (TransactionIdPrecedes(snapshot->xip[i], since))
			return false;
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	block->is_settled = block->since == since;
	LWLockRelease(&block->lock);

	return since == block->since;
}

bool
wf_groups_to_mend(const char *queue, WfMend *mend)
{
	WfTrackKey	key;
	Seen	   *seen;
	bool		can_tell;

	memset(mend, 0, sizeof(WfMend));
	if (!wf_groups_are_kept())
	{
		mend->is_all = true;
		return true;
	}
	key = wf_groups_key(queue);
	check_holds();
	can_tell = is_settled();
	LWLockAcquire(&block->lock, LW_SHARED);
	seen = find_seen(&key);
	mend->is_all = seen == NULL ||
		(seen->epoch != block->epoch && (can_tell || seen->at < GetCurrentTimestamp() - LOOK_EVERY_US));
	mend->epoch = can_tell ? block->epoch : PG_UINT64_MAX;
	LWLockRelease(&block->lock);
	mend->is_all = mend->is_all && !wf_groups_has_mended(&key, NULL, mend->epoch);
	if (pg_atomic_read_u32(&block->n_left) > 0)
		copy_left(&key, mend);

	return mend->is_all || mend->n > 0;
}
