/*
 * build.c
 *	  Building a store from the tables.
 *
 * A job of a segment lives as long as neither an attempt nor a row of
 * workflow.job names it.  A living job that a claim names is claimed: until
 * the lease ends, or as long as the session lives that the claim is bound to.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lane_internal.h"
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
	WfSlotNo	slot;
} Found;

typedef struct Build
{
	WfStore    *store;
	MemoryContext memory;
	HTAB	   *jobs;			/* Found */
	int64		first_job;
	List	   *claims;			/* WfSegmentRow * */
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
		found->slot = wf_slot_push(lane, lane_no, &slot, found->row.at);
		LWLockRelease(&lane->lock);
	}
	if (found->slot == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the jobs that wait do not fit into the shared memory of the queues"),
				 errdetail("Job " INT64_FORMAT " was the first that did not.", found->job_id),
				 errhint("Raise pg_workflow.queue_memory and restart the server.")));
	pg_atomic_fetch_add_u64(&build->store->alive[found->row.segment - 1], 1);
}

static void
push_jobs(Build *build)
{
	HASH_SEQ_STATUS each;
	Found	   *found;
	List	   *jobs = NIL;
	ListCell   *cell;

	hash_seq_init(&each, build->jobs);
	while ((found = hash_seq_search(&each)) != NULL)
		jobs = lappend(jobs, found);
	list_sort(jobs, by_job_id);
	foreach(cell, jobs)
		push_job(build, lfirst(cell));
	list_free(jobs);
}

/*
 * The job of a claim, if it lives and no later claim has it.
 */
static Found *
find_ready(Build *build, int64 job_id)
{
	Found	   *found = hash_search(build->jobs, &job_id, HASH_FIND, NULL);

	return found == NULL || wf_slot_at(found->slot)->state != WF_SLOT_READY ? NULL : found;
}

static void
restore_claim(Build *build, const WfSegmentRow *row)
{
	int			count = ArrayGetNItems(ARR_NDIM(row->job_ids), ARR_DIMS(row->job_ids));
	const int64 *job_ids = (int64 *) ARR_DATA_PTR(row->job_ids);
	WfClaimNo	claim = 0;

	for (int i = 0; i < count; i++)
	{
		Found	   *found = find_ready(build, job_ids[i]);

		if (found == NULL)
			continue;
		if (claim == 0 && (claim = wf_claim_restore(build->store, row)) == 0)
			elog(ERROR, "the claims do not fit into the shared memory of the queues");
		wf_slot_set(wf_lane_at(wf_slot_lane(found->slot)), found->slot, WF_SLOT_CLAIMED, claim);
		wf_claim_at(claim)->open++;
	}
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

/*
 * The caller has the store for itself.
 */
void
wf_store_build(WfStore *store)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "lanes",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(memory);
	HASHCTL		control = {.keysize = sizeof(int64),.entrysize = sizeof(Found),.hcxt = memory};
	Build		build = {.store = store,.memory = memory};

	build.jobs = hash_create("jobs of segments", 1024, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	wf_store_wipe(store);
	for (int segment = 1; segment <= WF_LANE_SEGMENTS; segment++)
		wf_segment_scan(segment, &store->file[segment - 1], collect, &build);
	if (build.first_job != 0)
		forget_those_that_left(&build);
	push_jobs(&build);
	restore_claims(&build);
	choose_segment(store);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(memory);
}
