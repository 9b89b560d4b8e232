/*
 * build.c
 *	  Building a store from the tables.
 *
 * A job of a segment lives as long as neither an attempt nor a row of
 * workflow.job names it.  A living job that a claim names is claimed: until
 * the lease ends, or as long as the session lives that the claim is bound to.
 *
 * Of claims whose rows are not written yet (later.c) memory tells.  They and their
 * jobs have had room there and are given it first: should the transaction be rolled
 * back that builds, nothing else would know of them.
 *
 * What there is no memory for goes into the table, with its claim, in the present
 * transaction.  Should that be rolled back, the store is built anew.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lane_internal.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Those whose first attempt has ended, or that went to the table. */
static WfPlan left_plan = {
	.name = "lane_jobs_that_left",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql =
	"SELECT a.job_id FROM workflow.attempt AS a "
	"WHERE a.job_id >= $1 AND a.item_id IS NULL AND a.effect_id IS NULL "
	"UNION ALL "
	"SELECT pg_catalog.unnest(a.job_ids) FROM workflow.attempt AS a "
	"WHERE a.last_job >= $1 AND a.job_ids IS NOT NULL "
	"UNION ALL "
	"SELECT j.job_id FROM workflow.job AS j WHERE j.job_id >= $1 AND j.item_id IS NULL",
};

/* A job by its id, for finding it from a claim. */
typedef struct Found
{
	int64		job_id;			/* key */
	WfSegmentRow row;
	WfSlotNo	slot;			/* 0: there was no memory for it, or its claim */
	const WfSegmentRow *claim;	/* without a slot */
	WfClaimNo	kept;			/* for a claim that is in memory only; 0: none */
} Found;

typedef struct Build
{
	WfStore    *store;
	MemoryContext memory;
	HTAB	   *jobs;			/* Found */
	int64		first_job;
	List	   *claims;			/* WfSegmentRow * */
	List	   *sorted;			/* Found *, by their ids */
	WfPageNo	spare;			/* pages for slots of claims that are kept */
	bool		is_cramped;		/* there are jobs without a slot */
} Build;

/*
 * Forgets all that a store knows.
 */
void
wf_store_wipe(WfStore *store)
{
	WfLaneNo	lane = 0;

	while ((lane = wf_store_next_lane(store, lane)) != 0)
		wf_slot_wipe(wf_lane_at(lane));
	wf_claim_wipe(store);
	for (int i = 0; i < WF_LANE_SEGMENTS; i++)
		pg_atomic_write_u64(&store->alive[i], 0);
	memset(store->idle_since, 0, sizeof(store->idle_since));
	store->next_lease_end = DT_NOEND;
}

/*
 * The fullest segment that is in use goes on; with none in use, the first.
 */
static void
choose_segment(WfStore *store)
{
	int			chosen = 0;

	for (int i = 0; i < WF_LANE_SEGMENTS; i++)
	{
		Oid			file;

		/* what is rewritten from now on is noticed by its file */
		store->is_empty[i] = wf_segment_blocks(i + 1, &file) == 0 && file == store->file[i];
		if (!store->is_empty[i] && pg_atomic_read_u64(&store->alive[i]) >=
			pg_atomic_read_u64(&store->alive[chosen]))
			chosen = i;
	}
	store->is_empty[chosen] = false;
	store->current_segment = chosen + 1;
}

static void
collect(const WfSegmentRow *row, void *argument)
{
	Build	   *build = argument;
	Found	   *found;

	if (row->job_id == 0)
	{
		MemoryContext previous = MemoryContextSwitchTo(build->memory);
		WfSegmentRow *copy = palloc(sizeof(WfSegmentRow));

		*copy = *row;
		build->claims = lappend(build->claims, copy);
		MemoryContextSwitchTo(previous);
		return;
	}
	found = hash_search(build->jobs, &row->job_id, HASH_ENTER, NULL);
	found->row = *row;
	found->slot = 0;
	found->claim = NULL;
	found->kept = 0;
	if (build->first_job == 0 || row->job_id < build->first_job)
		build->first_job = row->job_id;
}

static void
forget_those_that_left(Build *build)
{
	Datum		first = Int64GetDatum(build->first_job);
	uint64		count;

	/* the transaction's own snapshot may be older than what has left */
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	count = wf_plan_execute(&left_plan, &first, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		int64		job_id = wf_result_int8(i, 1);

		hash_search(build->jobs, &job_id, HASH_REMOVE, NULL);
	}
	SPI_finish();
	PopActiveSnapshot();
}

static int
by_job_id(const ListCell *a, const ListCell *b)
{
	const Found *left = lfirst(a);
	const Found *right = lfirst(b);

	return left->job_id < right->job_id ? -1 : left->job_id > right->job_id;
}

/*
 * Makes entries for claims that are in memory only, of jobs that live, and keeps a page
 * of slots for each queue of them, or more.
 */
static void
keep_room(Build *build, List *rows)
{
	List	   *queues = NIL;
	int			count = 0;
	ListCell   *cell;

	foreach(cell, rows)
	{
		const WfSegmentRow *row = lfirst(cell);
		Found	   *found = hash_search(build->jobs, ARR_DATA_PTR(row->job_ids), HASH_FIND, NULL);

		if (found == NULL)
			continue;
		found->kept = wf_claim_restore(build->store, row);
		if (!list_member_int(queues, found->row.queue_no) || count % WF_SLOTS_IN_PAGE == 0)
			wf_arena_spare(&build->spare, WF_PAGE_SLOTS);
		queues = list_append_unique_int(queues, found->row.queue_no);
		count++;
	}
}

static void
push_job(Build *build, Found *found)
{
	WfLaneNo	lane_no = wf_store_lane(build->store, found->row.queue_no);
	WfLane	   *lane;
	WfSlot		slot = {.job_id = found->job_id,.tid = found->row.tid,
	.segment = found->row.segment,.state = WF_SLOT_READY};

	if (lane_no != 0)
	{
		lane = wf_lane_at(lane_no);
		LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
		do
			found->slot = wf_slot_push(lane, lane_no, &slot, found->row.at);
		while (found->slot == 0 && found->kept != 0 && wf_arena_give_spare(&build->spare));
		LWLockRelease(&lane->lock);
	}
	if (found->slot == 0)
	{
		build->is_cramped = true;
		return;
	}
	pg_atomic_fetch_add_u64(&build->store->alive[found->row.segment - 1], 1);
}

static void
push_jobs(Build *build)
{
	HASH_SEQ_STATUS each;
	Found	   *found;
	ListCell   *cell;

	hash_seq_init(&each, build->jobs);
	while ((found = hash_seq_search(&each)) != NULL)
		build->sorted = lappend(build->sorted, found);
	list_sort(build->sorted, by_job_id);
	foreach(cell, build->sorted)
		push_job(build, lfirst(cell));
	while (wf_arena_give_spare(&build->spare))
		;
	build->store->built_until = build->sorted == NIL ? 0 : ((Found *) llast(build->sorted))->job_id;
}

/*
 * Gives up the slot of a job, for there is no memory for its claim.
 */
static void
give_up_slot(Build *build, Found *found)
{
	WfLane	   *lane = wf_lane_at(wf_slot_lane(found->slot));

	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	wf_slot_set(lane, found->slot, WF_SLOT_ENDED, 0);
	LWLockRelease(&lane->lock);
	pg_atomic_fetch_sub_u64(&build->store->alive[found->row.segment - 1], 1);
	found->slot = 0;
	build->is_cramped = true;
}

/*
 * Claims a job that lives, unless a later claim has it.  *claim: its entry, once
 * there is one.
 */
static void
restore_claimed(Build *build, Found *found, const WfSegmentRow *row, WfClaimNo *claim)
{
	if (found->slot != 0 && wf_slot_at(found->slot)->state != WF_SLOT_READY)
		return;
	if (found->slot != 0 && *claim == 0 &&
		(*claim = wf_claim_restore(build->store, row)) == 0)
		give_up_slot(build, found);
	if (found->slot == 0)
	{
		found->claim = found->claim == NULL ? row : found->claim;
		return;
	}
	wf_slot_set(wf_lane_at(wf_slot_lane(found->slot)), found->slot, WF_SLOT_CLAIMED, *claim);
	wf_claim_at(*claim)->open++;
	if (row->segment != 0)
		return;
	wf_claim_at(*claim)->later_slot = found->slot;
	wf_claim_at(*claim)->later_job = found->job_id;
	wf_later_list(build->store, *claim);
}

static void
restore_claim(Build *build, const WfSegmentRow *row)
{
	int			count = ArrayGetNItems(ARR_NDIM(row->job_ids), ARR_DIMS(row->job_ids));
	const int64 *job_ids = (int64 *) ARR_DATA_PTR(row->job_ids);
	WfClaimNo	claim = 0;

	for (int i = 0; i < count; i++)
	{
		Found	   *found = hash_search(build->jobs, &job_ids[i], HASH_FIND, NULL);

		if (found != NULL && row->segment == 0)
			claim = found->kept;
		if (found != NULL)
			restore_claimed(build, found, row, &claim);
	}
	if (claim != 0 && wf_claim_at(claim)->open == 0)
		wf_claim_give(build->store, claim);
}

/*
 * The latest claim of a job is the one that counts.
 */
static int
latest_first(const ListCell *a, const ListCell *b)
{
	const WfSegmentRow *left = lfirst(a);
	const WfSegmentRow *right = lfirst(b);

	return left->at > right->at ? -1 : left->at < right->at;
}

static void
restore_claims(Build *build)
{
	ListCell   *cell;

	list_sort(build->claims, latest_first);
	foreach(cell, build->claims)
		restore_claim(build, lfirst(cell));
}

/* ------------------------------------------------------- what does not fit */

/* So many jobs are moved at a time. */
#define MOVED_AT_ONCE 1000

/*
 * Reads the payload of a job; keeps its segment from being truncated before the
 * transaction ends.
 */
static Jsonb *
read_payload(const WfSegmentRow *row)
{
	Relation	segment = table_open(wf_segment_oid(row->segment), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(segment, NULL);
	ItemPointerData tid = row->tid;
	Jsonb	   *payload = NULL;
	bool		isnull = true;
	Datum		value = 0;

	if (table_tuple_fetch_row_version(segment, &tid, SnapshotAny, slot))
		value = slot_getattr(slot, WF_SEGMENT_PAYLOAD, &isnull);
	if (!isnull)
		payload = DatumGetJsonbPCopy(value);
	ExecDropSingleTupleTableSlot(slot);
	table_close(segment, NoLock);

	return payload;
}

static void
describe(const Found *found, WfLaneEnd *end)
{
	const WfSegmentRow *claim = found->claim;

	memset(end, 0, sizeof(WfLaneEnd));
	end->job.job_id = found->job_id;
	end->job.payload = read_payload(&found->row);
	end->job.stored_at = found->row.at;
	end->queue_no = found->row.queue_no;
	if (claim == NULL)
		return;
	end->is_claimed = true;
	end->claimed_at = claim->at;
	end->lease_until = claim->lease_until;
	end->session_pid = claim->session_pid;
	end->session_start = claim->session_start;
	strlcpy(end->worker, claim->worker, sizeof(end->worker));
	memcpy(end->secret, VARDATA_ANY(claim->secret), WF_LANE_SECRET);
}

static void
require_writing(int64 job_id)
{
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the jobs that wait do not fit into the shared memory of the queues"),
				 errdetail("Job " INT64_FORMAT " is one that does not, and a transaction that only reads cannot move it into the table.", job_id),
				 errhint("Raise pg_workflow.queue_memory and restart the server, or use the queue in a transaction that may write.")));
}

/*
 * Moves the jobs without a slot into the table, in the order of their ids.
 */
static void
move_rest(Build *build)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * MOVED_AT_ONCE);
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "jobs that do not fit",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(memory);
	int			count = 0;
	ListCell   *cell;

	wf_store_rests_on_me(build->store);
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, build->sorted)
	{
		const Found *found = lfirst(cell);

		if (found->slot != 0)
			continue;
		require_writing(found->job_id);
		describe(found, &ends[count++]);
		if (count < MOVED_AT_ONCE)
			continue;
		wf_lane_move_into_table(ends, count);
		count = 0;
		MemoryContextReset(memory);
	}
	wf_lane_move_into_table(ends, count);
	PopActiveSnapshot();
	MemoryContextSwitchTo(previous);
}

/* --------------------------------------------------------------------- all */

/* A mode that locks of reindexing are in the way of, too. */
#define BUILD_LOCK RowExclusiveLock

static Oid
table_to_lock(int n)
{
	static WfTable others[] = {{"attempt"}, {"job"}};

	if (n < lengthof(others))
		return wf_table_oid(&others[n]);

	return n < lengthof(others) + WF_LANE_SEGMENTS ?
		wf_segment_oid(n - lengthof(others) + 1) : InvalidOid;
}

/*
 * Locks all that a store is built from, and the table that takes what does not
 * fit.  Who builds must wait for nobody: those who wait for him are not seen by the
 * server's search for deadlocks, and may be whom he would wait for.
 */
void
wf_store_lock_tables(void)
{
	Oid			table;

	for (int n = 0; OidIsValid(table = table_to_lock(n)); n++)
		LockRelationOid(table, BUILD_LOCK);
}

void
wf_store_unlock_tables(void)
{
	Oid			table;

	for (int n = 0; OidIsValid(table = table_to_lock(n)); n++)
		UnlockRelationOid(table, BUILD_LOCK);
}

/*
 * The caller has the store for itself, and the tables locked.
 */
void
wf_store_build(WfStore *store)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "lanes",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(memory);
	HASHCTL		control = {.keysize = sizeof(int64),.entrysize = sizeof(Found),.hcxt = memory};
	Build		build = {.store = store,.memory = memory};
	List	   *later;

	build.jobs = hash_create("jobs of segments", 1024, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int segment = 1; segment <= WF_LANE_SEGMENTS; segment++)
		wf_segment_scan(segment, &store->file[segment - 1], collect, &build);
	if (build.first_job != 0)
		forget_those_that_left(&build);
	/* nothing that may fail comes between, but for want of memory */
	later = wf_later_rows(store);
	wf_store_wipe(store);
	keep_room(&build, later);
	build.claims = list_concat(build.claims, later);
	push_jobs(&build);
	restore_claims(&build);
	if (build.is_cramped)
		move_rest(&build);
	choose_segment(store);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(memory);
}
