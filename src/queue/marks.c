/*
 * marks.c
 *	  The shared memory of low-water marks.
 *
 * Only with the library preloaded: then all processes lower marks, from the
 * start of the server on.
 *
 * A transaction that is prepared lowers marks at once, and holds its tracks,
 * on which nothing is raised until it has ended: who ends it tells nobody.
 * Those prepared before the server started have ended when every
 * transaction in progress is younger than the memory.
 *
 * A track whose place is needed by another is forgotten; who asks again finds
 * out anew.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "common/hashfn.h"
#include "marks.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "track.h"
#include "utils/timestamp.h"

#define PARTITIONS 32
#define WAYS 16					/* tracks in a partition */
#define HOLDS 16

/* A track that nobody has asked for in so long may be forgotten. */
#define KEPT_US (60 * USECS_PER_SEC)

typedef struct Hold
{
	TransactionId xid;			/* prepared; invalid: none */
	WfTrackKey	key;
} Hold;

typedef struct Partition
{
	LWLock		lock;
	bool		is_sound;		/* all that began before "since" have ended */
	TransactionId since;
	Hold		holds[HOLDS];
	Track		tracks[WAYS];
} Partition;

typedef struct MarkBlock
{
	int			tranche;
	pg_atomic_uint64 generations;
	Partition	partitions[PARTITIONS];
} MarkBlock;

static bool is_preloaded = false;
static MarkBlock *block = NULL;

static Size
block_size(void)
{
	return sizeof(MarkBlock);
}

static void
init_block(void *memory)
{
	MarkBlock  *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	pg_atomic_init_u64(&new_block->generations, 0);
	for (int i = 0; i < PARTITIONS; i++)
		LWLockInitialize(&new_block->partitions[i].lock, new_block->tranche);
}

/*
 * Makes the memory accessible, or says that there is none.
 */
bool
wf_marks_attach(void)
{
	if (block != NULL)
		return true;
	if (!is_preloaded)
		return false;
	wf_tenants_attach();
	block = wf_shared_block("pg_workflow marks", block_size(), init_block);
	LWLockRegisterTranche(block->tranche, "pg_workflow marks");

	return true;
}

WfTrackKey
wf_track_key(Oid table, const char *kind, const char *queue)
{
	const unsigned char *bytes = (const unsigned char *) queue;
	uint64		seed = hash_bytes_extended((const unsigned char *) kind, strlen(kind), 0);
	WfTrackKey	key = {.database = MyDatabaseId,.table = table};

	key.hash[0] = hash_bytes_extended(bytes, strlen(queue), seed);
	key.hash[1] = hash_bytes_extended(bytes, strlen(queue), ~seed);

	return key;
}

bool
wf_track_key_is(const WfTrackKey *a, const WfTrackKey *b)
{
	return a->hash[0] == b->hash[0] && a->hash[1] == b->hash[1] &&
		a->database == b->database && a->table == b->table;
}

static Partition *
lock_partition(const WfTrackKey *key)
{
	Partition  *partition = &block->partitions[key->hash[0] % PARTITIONS];

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);

	return partition;
}

static Track *
find_track(Partition *partition, const WfTrackKey *key)
{
	for (int i = 0; i < WAYS; i++)
	{
		Track	   *track = &partition->tracks[i];

		if (track->generation != 0 && wf_track_key_is(&track->key, key))
			return track;
	}

	return NULL;
}

/*
 * A place for another track; NULL when all are in use.
 */
static Track *
find_place(Partition *partition, TimestampTz now)
{
	Track	   *oldest = &partition->tracks[0];

	for (int i = 0; i < WAYS; i++)
	{
		Track	   *track = &partition->tracks[i];

		if (track->generation == 0)
			return track;
		if (track->asked_at < oldest->asked_at)
			oldest = track;
	}

	return oldest->asked_at < now - KEPT_US ? oldest : NULL;
}

static Track *
make_track(Partition *partition, const WfTrackKey *key, TimestampTz now)
{
	Track	   *track = find_place(partition, now);

	if (track == NULL)
		return NULL;
	memset(track, 0, sizeof(Track));
	track->generation = pg_atomic_add_fetch_u64(&block->generations, 1);
	track->key = *key;

	return track;
}

/* ------------------------------------------------------------------ lowering */

/*
 * A hold that finds no place is one of all tracks here, until everything ends
 * that is in progress now.
 */
static void
add_hold(Partition *partition, const WfTrackKey *key, TransactionId xid)
{
	for (int i = 0; i < HOLDS; i++)
	{
		Hold	   *hold = &partition->holds[i];

		if (TransactionIdIsValid(hold->xid) && (hold->xid != xid || !wf_track_key_is(&hold->key, key)))
			continue;
		hold->xid = xid;
		hold->key = *key;
		return;
	}
	partition->is_sound = false;
	partition->since = ReadNextTransactionId();
}

/*
 * A row stands there from now on; with held_by, a transaction that was prepared,
 * once that is committed.  Neither allocates nor raises.
 */
void
wf_marks_lower(const WfMarkNote *note, TransactionId held_by)
{
	Partition  *partition = lock_partition(&note->key);
	Track	   *track = find_track(partition, &note->key);

	if (track != NULL)
		wf_track_lower(track, note);
	if (TransactionIdIsValid(held_by))
		add_hold(partition, &note->key, held_by);
	LWLockRelease(&partition->lock);
	wf_tenant_lower(note);		/* who asks for a tenant looks for holds then */
}

/*
 * Nothing is known of a table any more.  Neither allocates nor raises.
 */
void
wf_marks_forget(Oid table)
{
	for (int p = 0; p < PARTITIONS; p++)
	{
		Partition  *partition = &block->partitions[p];

		LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
		for (int i = 0; i < WAYS; i++)
			if (partition->tracks[i].key.database == MyDatabaseId &&
				partition->tracks[i].key.table == table)
				partition->tracks[i].generation = 0;
		LWLockRelease(&partition->lock);
	}
	wf_tenants_forget(table);
}

void
wf_marks_init(void)
{
	is_preloaded = process_shared_preload_libraries_in_progress;
	wf_request_shared_block(block_size);
	wf_tenants_init();
	wf_notes_init();
}

/* ------------------------------------------------------------- asking, telling */

/*
 * Copies who holds a track.
 */
static int
copy_holds(const Partition *partition, const WfTrackKey *key, TransactionId *xids)
{
	int			n = 0;

	for (int i = 0; i < HOLDS; i++)
		if (TransactionIdIsValid(partition->holds[i].xid) && wf_track_key_is(&partition->holds[i].key, key))
			xids[n++] = partition->holds[i].xid;

	return n;
}

/*
 * Lets go of what a transaction holds that has ended.
 */
static void
let_go(const WfTrackKey *key, TransactionId xid)
{
	Partition  *partition = lock_partition(key);

	for (int i = 0; i < HOLDS; i++)
		if (partition->holds[i].xid == xid)
			partition->holds[i].xid = InvalidTransactionId;
	LWLockRelease(&partition->lock);
}

/*
 * Whether any of those who hold a track is in progress.
 */
static bool
is_any_left(const WfTrackKey *key, const TransactionId *xids, int n)
{
	bool		is_left = false;

	for (int i = 0; i < n; i++)
	{
		if (TransactionIdIsInProgress(xids[i]))
			is_left = true;
		else
			let_go(key, xids[i]);
	}

	return is_left;
}

/*
 * Whether nobody holds the track.
 */
bool
wf_marks_may_tell(const WfTrackKey *key)
{
	TransactionId xids[HOLDS];
	Partition  *partition = lock_partition(key);
	int			n = copy_holds(partition, key, xids);

	LWLockRelease(&partition->lock);

	return !is_any_left(key, xids, n);
}

bool
wf_marks_ask(const WfTrackKey *key, WfMarks *marks)
{
	TimestampTz now = GetCurrentTimestamp();
	TransactionId xids[HOLDS];
	Partition  *partition;
	Track	   *track;
	int			n_holds;

	marks->is_known = false;
	if (!wf_marks_attach() || RecoveryInProgress())
		return false;

	partition = lock_partition(key);
	if (!TransactionIdIsValid(partition->since))
		partition->since = ReadNextTransactionId();
	track = find_track(partition, key);
	if (track == NULL)
		track = make_track(partition, key, now);
	if (track != NULL)
	{
		track->asked_at = now;
		wf_track_ask(track, now, marks);
	}
	n_holds = copy_holds(partition, key, xids);
	LWLockRelease(&partition->lock);

	marks->key = *key;
	marks->may_tell = !is_any_left(key, xids, n_holds);

	return track != NULL;
}

/*
 * Whether the snapshot shows all that others have written of which nobody
 * was told.  One that is older than "since" does not tell who was in progress then.
 */
static bool
is_sound(Partition *partition, Snapshot snapshot)
{
	bool		is_older_left = false;

	if (partition->is_sound)
		return true;
	if (TransactionIdPrecedes(snapshot->xmax, partition->since))
		return false;
	for (uint32 i = 0; i < snapshot->xcnt && max_prepared_xacts > 0; i++)
		if (TransactionIdPrecedes(snapshot->xip[i], partition->since))
			is_older_left = true;
	partition->is_sound = !is_older_left;

	return partition->is_sound;
}

bool
wf_marks_are_sound(const WfTrackKey *key, Snapshot snapshot)
{
	Partition  *partition = lock_partition(key);
	bool		are_sound = TransactionIdIsValid(partition->since) && is_sound(partition, snapshot);

	LWLockRelease(&partition->lock);

	return are_sound;
}

/*
 * Raises the marks of the shelves that are told.  Where they were not known,
 * all that have a row must be told.
 */
void
wf_marks_tell(WfMarks *marks, Snapshot snapshot)
{
	Partition  *partition = lock_partition(&marks->key);
	Track	   *track = find_track(partition, &marks->key);

	if (track != NULL && (!marks->may_tell || !is_sound(partition, snapshot)))
		wf_track_put_off(track);
	else if (track != NULL)
		wf_track_tell(track, marks);
	LWLockRelease(&partition->lock);
}
