/*
 * rotate.c
 *	  Segments are filled one after the other, and truncated when all that is in
 *	  them has ended.
 *
 * Whoever fills a segment turns to an empty one; where there is none he stays
 * in his, which then grows.  A truncated segment looks empty to old snapshots,
 * too: nobody reads one by a snapshot but pg_dump, which takes its snapshot
 * first and its locks a moment later.  So a segment is truncated when no
 * snapshot is left from before all in it had ended, or when it has rested for
 * so long that a dump would have its locks; and never while anybody holds a
 * lock on it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "base/plan.h"
#include "base/wake.h"
#include "lane_internal.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Blocks after which a segment is full: 64 MB. */
#define FULL_BLOCKS 8192

#define REST_US (30 * USECS_PER_SEC)

/*
 * Turns to another segment, if there is one that is empty.  Called by whoever
 * has stored something at a place.
 */
void
wf_segment_turn(WfStore *store, int segment, const ItemPointerData *place)
{
	static TimestampTz next_look = 0;

	if (ItemPointerGetBlockNumber(place) < FULL_BLOCKS || store->current_segment != segment ||
		GetCurrentTimestamp() < next_look)
		return;
	next_look = GetCurrentTimestamp() + USECS_PER_SEC;
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WF_LANE_SEGMENTS && store->current_segment == segment; i++)
		if (store->is_empty[i])
		{
			store->is_empty[i] = false;
			store->current_segment = i + 1;
		}
	LWLockRelease(&store->lock);
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
}

static bool
is_idle(WfStore *store, int segment)
{
	return store->state == WF_STORE_BUILT && store->current_segment != segment &&
		!store->is_empty[segment - 1] &&
		pg_atomic_read_u64(&store->alive[segment - 1]) == 0;
}

static void
truncate_segment(int segment)
{
	static WfPlan plans[WF_LANE_SEGMENTS];
	WfPlan	   *plan = &plans[segment - 1];

	if (plan->sql == NULL)
	{
		char	   *table = MemoryContextStrdup(TopMemoryContext, psprintf("segment_%d", segment));

		plan->name = "truncate_segment";
		plan->expected = SPI_OK_UTILITY;
		plan->passes = table;
		plan->sql = MemoryContextStrdup(TopMemoryContext,
										psprintf("TRUNCATE workflow.%s", table));
	}
	wf_plan_execute(plan, NULL, NULL);
}

/*
 * Whether no snapshot of this database is older than that transaction number.
 */
static bool
is_seen_by_all(int segment, TransactionId before)
{
	Relation	relation = table_open(wf_segment_oid(segment), AccessShareLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(relation);

	table_close(relation, AccessShareLock);

	return TransactionIdFollowsOrEquals(horizon, before);
}

/*
 * Truncates a segment that has rested; returns when to look at it again.
 */
static TimestampTz
tidy_segment(WfStore *store, int segment, TimestampTz now)
{
	TimestampTz *idle_since = &store->idle_since[segment - 1];
	Oid			file;

	if (*idle_since == 0)
	{
		*idle_since = now;
		store->idle_before[segment - 1] = XidFromFullTransactionId(ReadNextFullTransactionId());
		return now + USECS_PER_SEC;
	}
	if (now < *idle_since + REST_US && !is_seen_by_all(segment, store->idle_before[segment - 1]))
		return now + USECS_PER_SEC;
	if (wf_segment_blocks(segment, &file) == 0)
	{
		LWLockAcquire(&store->lock, LW_EXCLUSIVE);
		store->file[segment - 1] = file;
		store->is_empty[segment - 1] = true;
		LWLockRelease(&store->lock);
		*idle_since = 0;
		return DT_NOEND;
	}
	if (ConditionalLockRelationOid(wf_segment_oid(segment), AccessExclusiveLock) &&
		is_idle(store, segment))
		truncate_segment(segment);

	return now + USECS_PER_SEC;
}

/*
 * Truncates the segments of which nothing is needed any more.  Returns when to
 * look again; infinity when only somebody who turns to another segment gives a
 * reason.  For the maintenance worker, connected to SPI.
 */
TimestampTz
wf_lane_tidy(void)
{
	WfStore    *store = wf_store_find();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz again = DT_NOEND;

	if (store == NULL || store->state != WF_STORE_BUILT)
		return DT_NOEND;
	for (int segment = 1; segment <= WF_LANE_SEGMENTS; segment++)
	{
		if (is_idle(store, segment))
			again = Min(again, tidy_segment(store, segment, now));
		else
			store->idle_since[segment - 1] = 0;
	}

	return again;
}
