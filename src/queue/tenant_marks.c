/*
 * tenant_marks.c
 *	  Low-water marks of tenants: before which no ready job of one stands.
 *
 * A queue's own marks (marks.c) are those of its priorities.  In a fair queue the job that
 * has waited for longest may be of anybody; of all others much has been finished since.
 *
 * There is a place for so many tenants of all databases, each in a set that its hash names.
 * One without a place has no mark, and is looked for from the mark of its priority on.  A
 * tenant gets a place when somebody has walked over what is finished of him.
 *
 * Lowering is as for the other marks, by the same notes.  Raising: claims of a fair queue
 * stand in line, so it is enough that the last who has asked may tell.  All that is
 * lowered after he asked bounds him.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "common/hashfn.h"
#include "marks.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define SETS 512
#define WAYS 16

/* A mark that nobody has asked for in so long may be forgotten. */
#define KEPT_US (60 * USECS_PER_SEC)

typedef struct TenantMark
{
	uint64		ask;			/* the last one's; 0: not in use */
	WfTrackKey	track;
	WfTenantKey tenant;
	TimestampTz asked_at;
	int64		from;
	int64		lowered;		/* to where, since the last ask */
} TenantMark;

typedef struct MarkSet
{
	LWLock		lock;
	TenantMark	marks[WAYS];
} MarkSet;

typedef struct TenantBlock
{
	int			tranche;
	pg_atomic_uint64 asks;
	MarkSet		sets[SETS];
} TenantBlock;

static TenantBlock *block = NULL;

static Size
block_size(void)
{
	return sizeof(TenantBlock);
}

static void
init_block(void *memory)
{
	TenantBlock *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	pg_atomic_init_u64(&new_block->asks, 0);
	for (int i = 0; i < SETS; i++)
		LWLockInitialize(&new_block->sets[i].lock, new_block->tranche);
}

void
wf_tenants_init(void)
{
	wf_request_shared_block(block_size);
}

/*
 * Called before anything else here, where there are marks at all.
 */
void
wf_tenants_attach(void)
{
	if (block != NULL)
		return;
	block = wf_shared_block("pg_workflow tenant marks", block_size(), init_block);
	LWLockRegisterTranche(block->tranche, "pg_workflow tenant marks");
}

WfTenantKey
wf_tenant_key(const WfTrackKey *track, int32 priority, const char *name, int length)
{
	const unsigned char *bytes = (const unsigned char *) name;
	WfTenantKey key;

	key.hash[0] = hash_bytes_extended(bytes, length, track->hash[0] + (uint32) priority);
	key.hash[1] = hash_bytes_extended(bytes, length, track->hash[1] ^ (uint32) priority);

	return key;
}

static MarkSet *
lock_set(const WfTenantKey *tenant)
{
	MarkSet    *set = &block->sets[tenant->hash[0] % SETS];

	LWLockAcquire(&set->lock, LW_EXCLUSIVE);

	return set;
}

static TenantMark *
find_mark(MarkSet *set, const WfTrackKey *track, const WfTenantKey *tenant)
{
	for (int i = 0; i < WAYS; i++)
	{
		TenantMark *mark = &set->marks[i];

		if (mark->ask != 0 && mark->tenant.hash[0] == tenant->hash[0] &&
			mark->tenant.hash[1] == tenant->hash[1] && wf_track_key_is(&mark->track, track))
			return mark;
	}

	return NULL;
}

/*
 * A place for another mark, of which nothing is known yet; NULL when all are in use.
 */
static TenantMark *
make_mark(MarkSet *set, const WfTrackKey *track, const WfTenantKey *tenant, TimestampTz now)
{
	TenantMark *place = &set->marks[0];

	for (int i = 0; i < WAYS && place->ask != 0; i++)
		if (set->marks[i].ask == 0 || set->marks[i].asked_at < place->asked_at)
			place = &set->marks[i];
	if (place->ask != 0 && place->asked_at >= now - KEPT_US)
		return NULL;
	place->track = *track;
	place->tenant = *tenant;
	place->from = PG_INT64_MIN;

	return place;
}

/* ------------------------------------------------------------- asking, telling */

int64
wf_tenant_mark(const WfTrackKey *track, const WfTenantKey *tenant)
{
	int64		from = PG_INT64_MIN;
	TenantMark *mark;
	MarkSet    *set;

	set = lock_set(tenant);
	mark = find_mark(set, track, tenant);
	if (mark != NULL)
	{
		mark->asked_at = GetCurrentTimestamp();
		from = mark->from;
	}
	LWLockRelease(&set->lock);

	return from;
}

/*
 * False when nothing can be told now.  Holds are looked for last: a transaction that is
 * prepared holds its track before it lowers a mark here.
 */
bool
wf_tenant_ask(WfTenantAsk *ask, const WfTrackKey *track, const WfTenantKey *tenant)
{
	TimestampTz now = GetCurrentTimestamp();
	TenantMark *mark;
	MarkSet    *set;

	*ask = (WfTenantAsk)
	{
		.track = *track,.tenant = *tenant,.ask = pg_atomic_add_fetch_u64(&block->asks, 1)
	};
	set = lock_set(tenant);
	mark = find_mark(set, track, tenant);
	if (mark == NULL)
		mark = make_mark(set, track, tenant, now);
	if (mark != NULL)
	{
		mark->ask = ask->ask;
		mark->asked_at = now;
		mark->lowered = WF_MARK_NONE;
		ask->from = mark->from;
	}
	LWLockRelease(&set->lock);

	return mark != NULL && wf_marks_may_tell(track);
}

void
wf_tenant_tell(const WfTenantAsk *ask, Snapshot snapshot, int64 found)
{
	TenantMark *mark;
	MarkSet    *set;

	if (!wf_marks_are_sound(&ask->track, snapshot))
		return;
	set = lock_set(&ask->tenant);
	mark = find_mark(set, &ask->track, &ask->tenant);
	if (mark != NULL && mark->ask == ask->ask)
		mark->from = Max(mark->from, Min(found, mark->lowered));
	LWLockRelease(&set->lock);
}

/* ------------------------------------------------------------------ lowering */

/*
 * Forgets marks of a table; of a track, if one is given.
 */
static void
forget(Oid table, const WfTrackKey *track)
{
	for (int s = 0; s < SETS; s++)
	{
		MarkSet    *set = &block->sets[s];

		LWLockAcquire(&set->lock, LW_EXCLUSIVE);
		for (int i = 0; i < WAYS; i++)
			if (set->marks[i].track.database == MyDatabaseId && set->marks[i].track.table == table &&
				(track == NULL || wf_track_key_is(&set->marks[i].track, track)))
				set->marks[i].ask = 0;
		LWLockRelease(&set->lock);
	}
}

void
wf_tenants_forget(Oid table)
{
	forget(table, NULL);
}

void
wf_tenant_lower(const WfMarkNote *note)
{
	TenantMark *mark;
	MarkSet    *set;

	if (note->tenants == WF_OF_NO_TENANT)
		return;
	if (note->tenants == WF_OF_ANY_TENANT)
	{
		forget(note->key.table, &note->key);
		return;
	}
	set = lock_set(&note->tenant);
	mark = find_mark(set, &note->key, &note->tenant);
	if (mark != NULL)
	{
		mark->from = Min(mark->from, note->position);
		mark->lowered = Min(mark->lowered, note->position);
	}
	LWLockRelease(&set->lock);
}
