/*
 * ids.c
 *	  Ids of jobs and attempts, out of a reserve that all sessions share.
 *
 * nextval() opens the sequence, locks it until the transaction ends, and changes
 * its page for each id.  Here whoever finds the reserve empty takes a block of ids
 * from the sequence, and the others have theirs without any of that.
 *
 * The reserve is good while the sequence says what it said when the block was
 * taken, and its page is as old as then in the log: setval() is always logged, also
 * where it says the same, or makes the sequence come there once more.  Whoever draws
 * from it in another way, or sets it, makes the rest of the block void.  So ids
 * ascend over all sessions and all ways of drawing them, as if each were nextval's;
 * some are never given to anybody, as with that.
 *
 * The lock of the sequence's page guards the reserve: it is shared for handing out,
 * exclusive for taking a block.  A block is logged before any id of it is known, so
 * that whoever commits one has that on disk.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "base/table.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "lane_internal.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "tcop/utility.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* A block that is used up sooner is followed by a larger one, up to the most. */
#define BUSY_US USECS_PER_SEC
#define MOST 64

/* So many blocks are of one id, so that a quiet queue has no gaps. */
#define SINGLE 32

/* So many ids beyond those that are taken are logged at once, as nextval() does. */
#define LOGGED_AHEAD 32

/* Near the end of a sequence nextval() says what there is to say. */
#define SPARE 1000000

/* A sequence, and where this process has found its page. */
typedef struct Sequence
{
	WfTable		table;
	uint64		generation;		/* of the table's name; 0: not found yet */
	WfPlace		place;
	Buffer		buffer;
} Sequence;

static Sequence sequences[WF_IDS] = {
	[WF_JOB_IDS] = {{"job_job_id_seq"}},
	[WF_ATTEMPT_IDS] = {{"attempt_attempt_id_seq"}},
};

/*
 * A new store has no reserve.
 */
void
wf_ids_init(WfStore *store)
{
	for (int i = 0; i < WF_IDS; i++)
		pg_atomic_init_u64(&store->reserves[i].next, 0);
}

static HeapTupleHeader
tuple_of(Buffer buffer, Size *length)
{
	Page		page = BufferGetPage(buffer);
	ItemId		item = PageGetItemId(page, FirstOffsetNumber);

	*length = ItemIdGetLength(item);

	return (HeapTupleHeader) PageGetItem(page, item);
}

static Form_pg_sequence_data
data_of(Buffer buffer)
{
	Size		length;
	HeapTupleHeader tuple = tuple_of(buffer, &length);

	return (Form_pg_sequence_data) ((char *) tuple + tuple->t_hoff);
}

/*
 * Whether the reserve is the last that was taken from the sequence.
 */
static bool
is_good(const WfReserve *reserve, const WfPlace *place, Buffer buffer)
{
	const FormData_pg_sequence_data *data = data_of(buffer);

	return wf_same_place(&reserve->place, place) && data->is_called &&
		reserve->last == data->last_value && reserve->logged_at == BufferGetLSNAtomic(buffer);
}

/*
 * Hands out ids as far as the reserve goes; returns how many.  The caller has locked the page.
 */
static int
hand_out(WfReserve *reserve, const Sequence *sequence, Buffer buffer, int64 *ids, int count)
{
	int64		first;
	int			found = 0;

	if (!is_good(reserve, &sequence->place, buffer))
		return 0;
	first = (int64) pg_atomic_fetch_add_u64(&reserve->next, count);
	for (; found < count && first + found <= reserve->last; found++)
		ids[found] = first + found;

	return found;
}

/*
 * The same where the page is still where it was: without opening the sequence.
 */
static int
hand_out_at_once(WfReserve *reserve, Sequence *sequence, int64 *ids, int count)
{
	int			found;

	(void) wf_table_oid(&sequence->table);
	if (sequence->generation != sequence->table.generation ||
		!ReadRecentBuffer(sequence->place, MAIN_FORKNUM, 0, sequence->buffer))
		return 0;
	LockBuffer(sequence->buffer, BUFFER_LOCK_SHARE);
	found = hand_out(reserve, sequence, sequence->buffer, ids, count);
	UnlockReleaseBuffer(sequence->buffer);

	return found;
}

/*
 * Writes to the page, and to the log, that ids up to "last" are taken.
 */
static void
set_last(Relation relation, Buffer buffer, int64 last, int64 logged, bool is_logged)
{
	Page		page = BufferGetPage(buffer);
	Form_pg_sequence_data data = data_of(buffer);
	WfPlace		place = wf_relation_place(relation);
	XLogRecPtr	end;
	Size		length;
	HeapTupleHeader tuple = tuple_of(buffer, &length);

	StaticAssertStmt(sizeof(xl_seq_rec) == sizeof(WfPlace), "the record names the place");
	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	data->is_called = true;
	if (is_logged)
	{
		data->last_value = last + logged;
		data->log_cnt = 0;
		XLogBeginInsert();
		XLogRegisterBuffer(0, buffer, REGBUF_WILL_INIT);
		XLogRegisterData((char *) &place, sizeof(place));
		XLogRegisterData((char *) tuple, length);
		end = XLogInsert(RM_SEQ_ID, XLOG_SEQ_LOG);
		PageSetLSN(page, end);
	}
	data->last_value = last;
	data->log_cnt = logged;
	END_CRIT_SECTION();
}

/*
 * How large the next block is to be, after one that was used up soon: what is not
 * above SINGLE counts such blocks.
 */
static int
next_size(int size)
{
	return size < SINGLE ? size + 1 : Min(2 * size, MOST);
}

/*
 * Takes a block of at least so many ids.
 */
static void
take_block(WfReserve *reserve, Relation relation, Buffer buffer, int count)
{
	Form_pg_sequence_data data = data_of(buffer);
	WfPlace		place = wf_relation_place(relation);
	TimestampTz now = GetCurrentTimestamp();
	bool		is_busy = is_good(reserve, &place, buffer) && now - reserve->taken_at < BUSY_US;
	int64		first = data->is_called ? data->last_value + 1 : data->last_value;
	int64		logged = data->log_cnt;
	bool		is_logged;

	reserve->size = is_busy ? next_size(reserve->size) : 1;
	reserve->taken_at = now;
	reserve->place = place;
	reserve->last = first + Max(reserve->size > SINGLE ? reserve->size : 1, count) - 1;
	pg_atomic_write_u64(&reserve->next, (uint64) first);

	logged -= reserve->last - first + 1;
	is_logged = !data->is_called || logged < 0 ||
		PageGetLSN(BufferGetPage(buffer)) <= GetRedoRecPtr();
	set_last(relation, buffer, reserve->last, is_logged ? LOGGED_AHEAD : logged, is_logged);
	reserve->logged_at = PageGetLSN(BufferGetPage(buffer));
}

/*
 * Whether it is the sequence that we know, and logged: one that this transaction has
 * made, or begun anew, is nobody else's yet.
 */
static bool
is_ours(Relation relation)
{
	HeapTuple	tuple;
	Form_pg_sequence form;
	bool		result;

	if (relation->rd_rel->relkind != RELKIND_SEQUENCE || !RelationNeedsWAL(relation) ||
		wf_is_of_this_transaction(relation))
		return false;
	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(RelationGetRelid(relation)));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	result = form->seqincrement == 1 && form->seqmax == PG_INT64_MAX && !form->seqcycle;
	ReleaseSysCache(tuple);

	return result;
}

/*
 * Hands out ids of the reserve, and of a new block; returns how many.
 */
static int
take(WfReserve *reserve, Sequence *sequence, int64 *ids, int count)
{
	Relation	relation = relation_open(wf_table_oid(&sequence->table), RowExclusiveLock);
	int			found = 0;

	sequence->generation = 0;
	if (is_ours(relation))
	{
		Buffer		buffer = ReadBuffer(relation, 0);

		(void) GetTopTransactionId();	/* its commit flushes the block, too */
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		sequence->place = wf_relation_place(relation);
		sequence->buffer = buffer;
		sequence->generation = sequence->table.generation;
		if (data_of(buffer)->last_value < PG_INT64_MAX - SPARE)
		{
			found = hand_out(reserve, sequence, buffer, ids, count);
			if (found < count)
			{
				take_block(reserve, relation, buffer, count - found);
				found += hand_out(reserve, sequence, buffer, ids + found, count - found);
			}
		}
		UnlockReleaseBuffer(buffer);
	}
	relation_close(relation, NoLock);

	return found;
}

/*
 * See lane.h.
 */
void
wf_ids_draw(WfIds which, int64 *ids, int count)
{
	WfStore    *store = wf_mark_store();
	Sequence   *sequence = &sequences[which];
	int			found = 0;

	PreventCommandIfReadOnly("nextval()");
	if (store == NULL)
		store = wf_store_find();
	if (store != NULL)
	{
		found = hand_out_at_once(&store->reserves[which], sequence, ids, count);
		if (found < count)
			found += take(&store->reserves[which], sequence, ids + found, count - found);
	}
	for (; found < count; found++)
		ids[found] = nextval_internal(wf_table_oid(&sequence->table), false);
}

int64
wf_id_draw(WfIds which)
{
	int64		id;

	wf_ids_draw(which, &id, 1);

	return id;
}
