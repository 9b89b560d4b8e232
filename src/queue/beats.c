/*
 * beats.c
 *	  The shared memory of heartbeats.
 *
 * Only with the library preloaded: then all processes ask here.  What finds no
 * place is written to its row.  After a crash leases end as their rows say,
 * which is earlier: a job may be given to somebody else too early then.
 *
 * A claim leaves memory when its end is committed; one that ended otherwise (a
 * prepared transaction) when whoever finds its lease ended finds no such claim.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/end.h"
#include "base/table.h"
#include "beats.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BUCKETS 1024
#define WAYS 16
#define LOOK_AGAIN_US (500 * INT64CONST(1000))

#define NEXT_ENDS 256			/* queues share one by their hash */

typedef struct Beat
{
	TimestampTz until;			/* 0: not in use */
	int64		job_id;
	uint64		token_hash;
	Oid			database;
	Oid			table;			/* of this installation */
	uint32		queue_hash;
} Beat;

typedef struct BeatBlock
{
	int			tranche;
	LWLock		lock;
	pg_atomic_uint32 n;
	pg_atomic_uint64 next_ends[NEXT_ENDS];	/* none ends before */
	Beat		beats[BUCKETS][WAYS];
} BeatBlock;

static bool is_preloaded = false;
static BeatBlock *block = NULL;
static WfTable job_table = {"job"};

/* A claim that the present transaction ends. */
typedef struct Ended
{
	WfBeat		claim;
	SubTransactionId subtransaction;
} Ended;

static WfEnd own_end = 0;
static List *ended = NIL;		/* Ended *, in TopTransactionContext */

static Size
block_size(void)
{
	return sizeof(BeatBlock);
}

static void
init_block(void *memory)
{
	BeatBlock  *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	LWLockInitialize(&new_block->lock, new_block->tranche);
	pg_atomic_init_u32(&new_block->n, 0);
	for (int i = 0; i < NEXT_ENDS; i++)
		pg_atomic_init_u64(&new_block->next_ends[i], DT_NOEND);
}

bool
wf_beats_are_kept(void)
{
	if (block != NULL)
		return true;
	if (!is_preloaded)
		return false;
	block = wf_shared_block("pg_workflow heartbeats", block_size(), init_block);
	LWLockRegisterTranche(block->tranche, "pg_workflow heartbeats");

	return true;
}

/*
 * Whether memory knows of any claim.
 */
static bool
any(void)
{
	return wf_beats_are_kept() && pg_atomic_read_u32(&block->n) > 0;
}

static uint64
hash_of(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
}

static Beat *
find(int64 job_id, uint64 token_hash)
{
	Beat	   *bucket = block->beats[(uint64) job_id % BUCKETS];

	for (int i = 0; i < WAYS; i++)
		if (bucket[i].until != 0 && bucket[i].job_id == job_id &&
			bucket[i].token_hash == token_hash && bucket[i].database == MyDatabaseId)
			return &bucket[i];

	return NULL;
}

static void
forget(Beat *beat)
{
	if (beat == NULL)
		return;
	beat->until = 0;
	pg_atomic_fetch_sub_u32(&block->n, 1);
}

/* --------------------------------------------------------------------- asking */

static TimestampTz
end_of(int64 job_id, const char *token)
{
	const Beat *beat;
	TimestampTz until;

	LWLockAcquire(&block->lock, LW_SHARED);
	beat = find(job_id, hash_of(token));
	until = beat == NULL ? 0 : beat->until;
	LWLockRelease(&block->lock);

	return until;
}

bool
wf_beats_has(int64 job_id, const char *token)
{
	return any() && end_of(job_id, token) != 0;
}

TimestampTz
wf_beats_end(int64 job_id, const char *token, TimestampTz stored)
{
	TimestampTz until = any() ? end_of(job_id, token) : 0;

	return until == 0 ? stored : until;
}

/*
 * The claims of a queue whose leases have ended.
 */
List *
wf_beats_ended(const char *queue, TimestampTz now)
{
	uint32		queue_hash = (uint32) hash_of(queue);
	pg_atomic_uint64 *next_end;
	TimestampTz first = DT_NOEND;
	List	   *claims = NIL;
	WfBeat	   *found;
	Oid			table;
	int			n = 0;

	if (!any() || wf_beats_next_end(queue) > now)
		return NIL;
	table = wf_table_oid(&job_table);
	found = palloc(sizeof(WfBeat) * BUCKETS * WAYS);
	next_end = &block->next_ends[queue_hash % NEXT_ENDS];
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	for (int i = 0; i < BUCKETS * WAYS; i++)
	{
		Beat	   *beat = &block->beats[0][0] + i;

		if (beat->until == 0 || beat->queue_hash % NEXT_ENDS != queue_hash % NEXT_ENDS)
			continue;
		first = Min(first, beat->until);
		if (beat->until <= now && beat->queue_hash == queue_hash && beat->database == MyDatabaseId)
		{
			if (beat->table != table)
			{
				forget(beat);	/* of an extension that was dropped */
				continue;
			}
			found[n].job_id = beat->job_id;
			found[n++].token_hash = beat->token_hash;
		}
	}
	pg_atomic_write_u64(next_end, first);
	LWLockRelease(&block->lock);
	for (int i = 0; i < n; i++)
		claims = lappend(claims, &found[i]);

	return claims;
}

/*
 * No lease of the queue that is in memory ends before.
 */
TimestampTz
wf_beats_next_end(const char *queue)
{
	if (!any())
		return DT_NOEND;

	return (TimestampTz) pg_atomic_read_u64(&block->next_ends[(uint32) hash_of(queue) % NEXT_ENDS]);
}

/*
 * When to look for ended ones: some may have been found whose jobs somebody has
 * locked.
 */
TimestampTz
wf_beats_next_look(const char *queue, TimestampTz now)
{
	TimestampTz end = wf_beats_next_end(queue);

	return end > now ? end : now + LOOK_AGAIN_US;
}

bool
wf_beat_is_of(const WfBeat *beat, const char *token)
{
	return beat->token_hash == hash_of(token);
}

/* -------------------------------------------------------------------- telling */

static Beat *
place_for(int64 job_id)
{
	Beat	   *bucket = block->beats[(uint64) job_id % BUCKETS];

	for (int i = 0; i < WAYS; i++)
		if (bucket[i].until == 0)
		{
			pg_atomic_fetch_add_u32(&block->n, 1);
			return &bucket[i];
		}

	return NULL;
}

static void
put(Beat *beat, const Beat *new_beat)
{
	pg_atomic_uint64 *next_end = &block->next_ends[new_beat->queue_hash % NEXT_ENDS];

	*beat = *new_beat;
	if ((TimestampTz) pg_atomic_read_u64(next_end) > new_beat->until)
		pg_atomic_write_u64(next_end, new_beat->until);
}

bool
wf_beats_set(int64 job_id, const char *token, const char *queue, TimestampTz until,
			 TimestampTz *before)
{
	Beat		new_beat = {
		.until = until,.job_id = job_id,.token_hash = hash_of(token),.database = MyDatabaseId,
		.queue_hash = (uint32) hash_of(queue)
	};
	Beat	   *beat;

	*before = 0;
	if (!wf_beats_are_kept())
		return false;
	new_beat.table = wf_table_oid(&job_table);
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	beat = find(job_id, new_beat.token_hash);
	*before = beat == NULL ? 0 : beat->until;
	if (until == 0)
		forget(beat);
	else if (beat != NULL || (beat = place_for(job_id)) != NULL)
		put(beat, &new_beat);
	LWLockRelease(&block->lock);

	return beat != NULL;
}

void
wf_beats_move(int64 job_id, const char *token, TimestampTz until)
{
	Beat	   *beat;

	if (!any())
		return;
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	beat = find(job_id, hash_of(token));
	if (beat != NULL)
	{
		Beat		moved = *beat;

		moved.until = until;
		put(beat, &moved);
	}
	LWLockRelease(&block->lock);
}

void
wf_beats_forget(const WfBeat *claim)
{
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	forget(find(claim->job_id, claim->token_hash));
	LWLockRelease(&block->lock);
}

void
wf_beats_note_end(int64 job_id, const char *token)
{
	MemoryContext previous;
	Ended	   *end;

	if (!wf_beats_has(job_id, token))
		return;
	wf_end_is_due(own_end);
	previous = MemoryContextSwitchTo(TopTransactionContext);
	end = palloc(sizeof(Ended));
	end->claim.job_id = job_id;
	end->claim.token_hash = hash_of(token);
	end->subtransaction = GetCurrentSubTransactionId();
	ended = lappend(ended, end);
	MemoryContextSwitchTo(previous);
}

/*
 * What a savepoint has ended that is undone goes on.
 */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	while (event == SUBXACT_EVENT_ABORT_SUB && ended != NIL &&
		   ((Ended *) llast(ended))->subtransaction == mine)
		ended = list_delete_last(ended);
	for (int i = list_length(ended) - 1; i >= 0; i--)
	{
		Ended	   *end = list_nth(ended, i);

		if (end->subtransaction != mine)
			break;
		end->subtransaction = parent;
	}
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (event == XACT_EVENT_COMMIT)
		foreach(cell, ended)
			wf_beats_forget(&((Ended *) lfirst(cell))->claim);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		ended = NIL;
}

void
wf_beats_init(void)
{
	is_preloaded = process_shared_preload_libraries_in_progress;
	wf_request_shared_block(block_size);
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}
