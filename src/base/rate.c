/*
 * rate.c
 *	  What rate limits have been charged with, written in place.
 *
 * Each claim of a limited queue charges the same limit.  Were that an UPDATE, each
 * would wait for the commit of the one before; and while somebody holds an old
 * snapshot no version could go, so that the next one has more and more of them to
 * walk over.  So a charge overwrites the timestamp where it stands, as a sequence
 * is: seen by all at once, logged for crashes and standbys, not undone by a rollback.
 *
 * The row of a limit is frozen when it has been inserted, which shows it to everybody,
 * for good.  Whoever charges a limit holds its turn while he does so, and no longer.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/plan.h"
#include "base/rate.h"
#include "base/table.h"
#include "base/turn.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of workflow.rate; the first one is written in place. */
enum
{
	RATE_NEXT_AT = 1,
	RATE_KIND,
	RATE_NAME,
	RATE_TENANT,
	RATE_COLUMNS = RATE_TENANT,
};

/* Columns of its primary key. */
#define KEY_COLUMNS 3

/* So many limits are forgotten at once, each of which has rested for so long. */
#define SWEEP_LIMIT 1000
#define SWEEP_AFTER_US (60 * USECS_PER_SEC)

/* The first one may be far in debt, and others rest long before. */
#define SWEEP_AT_LEAST_US (3600 * USECS_PER_SEC)

static WfTable rate_table = {"rate"};
static WfTable rate_index = {"rate_pkey"};

static WfPlan write_plan = {
	.name = "rate_write",
	.expected = SPI_OK_INSERT,
	.nargs = 4,
	.argtypes = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID},
	.sql =
	"INSERT INTO workflow.rate (next_at, kind, name, tenant) VALUES ($1, $2, $3, $4) "
	"ON CONFLICT (kind, name, tenant) DO UPDATE SET next_at = excluded.next_at",
};

static WfPlan rested_plan = {
	.name = "rates_rested",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
	.sql = "SELECT r.kind, r.name, r.tenant FROM workflow.rate AS r WHERE r.next_at <= $1 LIMIT $2",
};

static WfPlan first_plan = {
	.name = "rates_first",
	.expected = SPI_OK_SELECT,
	.nargs = 0,
	.sql = "SELECT pg_catalog.min(r.next_at) FROM workflow.rate AS r",
};

/* A limit, and its row if there is one. */
typedef struct Rate
{
	const WfRateKey *key;
	Relation	table;
	Relation	index;
	TupleTableSlot *slot;
	bool		is_found;
	TransactionId writer;		/* another transaction that is writing the row */
	uint32		of;				/* its turn */
	uint32		part;
} Rate;

/* ------------------------------------------------------------------ the row */

static void
open_rate(Rate *rate, const WfRateKey *key, LOCKMODE mode)
{
	rate->key = key;
	rate->table = table_open(wf_table_oid(&rate_table), mode);
	rate->index = index_open(wf_table_oid(&rate_index), mode);
	rate->slot = table_slot_create(rate->table, NULL);
}

static void
close_rate(Rate *rate)
{
	ExecDropSingleTupleTableSlot(rate->slot);
	index_close(rate->index, NoLock);
	table_close(rate->table, NoLock);
}

static void
set_key(const Rate *rate, ScanKey key, int column, const char *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   rate->index->rd_indcollation[column - 1], F_TEXTEQ,
						   CStringGetTextDatum(value));
}

/*
 * Finds the row as it is now, whatever the snapshot of the caller; its slot holds it.
 */
static void
find_row(Rate *rate)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	ScanKeyData keys[KEY_COLUMNS];

	InitDirtySnapshot(dirty);
	set_key(rate, &keys[0], 1, rate->key->kind);
	set_key(rate, &keys[1], 2, rate->key->name);
	set_key(rate, &keys[2], 3, rate->key->tenant);
	scan = wf_index_beginscan(rate->table, rate->index, &dirty, KEY_COLUMNS);
	index_rescan(scan, keys, KEY_COLUMNS, NULL, 0);
	rate->is_found = index_getnext_slot(scan, ForwardScanDirection, rate->slot);
	rate->writer = !rate->is_found ? InvalidTransactionId :
		TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	index_endscan(scan);
	for (int i = 0; i < KEY_COLUMNS; i++)
		pfree(DatumGetPointer(keys[i].sk_argument));	/* a claim may look at
														 * many */
}

static TimestampTz
next_at_of(const Rate *rate)
{
	bool		isnull;

	return rate->is_found ?
		DatumGetTimestampTz(slot_getattr(rate->slot, RATE_NEXT_AT, &isnull)) : WF_RATE_RESTED;
}

TimestampTz
wf_rate_read(const WfRateKey *key)
{
	Rate		rate;
	TimestampTz next_at;

	open_rate(&rate, key, AccessShareLock);
	find_row(&rate);
	next_at = next_at_of(&rate);
	close_rate(&rate);

	return next_at;
}

/* ------------------------------------------------------------------ writing */

static HeapTupleHeader
row_on(Page page, ItemPointer tid)
{
	ItemId		id = PageGetItemId(page, ItemPointerGetOffsetNumber(tid));

	Assert(ItemIdIsNormal(id));

	return (HeapTupleHeader) PageGetItem(page, id);
}

typedef void (*Edit) (HeapTupleHeader row, TimestampTz next_at);

static void
set_next_at(HeapTupleHeader row, TimestampTz next_at)
{
	*(TimestampTz *) ((char *) row + row->t_hoff) = next_at;
}

static void
freeze(HeapTupleHeader row, TimestampTz next_at)
{
	row->t_infomask |= HEAP_XMIN_FROZEN;
}

/*
 * Nothing moves the row meanwhile: its buffer has been pinned since it was found, or we
 * have just inserted it.
 */
static void
write_in_place(const Rate *rate, Edit edit, TimestampTz next_at)
{
	ItemPointer tid = &rate->slot->tts_tid;
	Buffer		buffer = ReadBuffer(rate->table, ItemPointerGetBlockNumber(tid));
	GenericXLogState *log;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	log = GenericXLogStart(rate->table);
	edit(row_on(GenericXLogRegisterBuffer(log, buffer, 0), tid), next_at);
	(void) GenericXLogFinish(log);
	UnlockReleaseBuffer(buffer);
}

/*
 * Whoever inserts the first row since there was none has to see that it is forgotten
 * one day.  At once: the row stays when he is rolled back.
 */
static void
tell_sweeper(void)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (now < told_at + SWEEP_AFTER_US)
		return;
	told_at = now;
	wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
}

/*
 * Frozen when all indexes have it: an error or a crash before that leaves a row of a
 * transaction that is rolled back, as any other does.  Frozen at once, it would be there
 * for good, and found by no charge.
 */
static void
insert_frozen(const Rate *rate, TimestampTz next_at)
{
	TupleTableSlot *slot = rate->slot;

	ExecStoreAllNullTuple(slot);	/* somebody may have added columns */
	slot->tts_values[RATE_NEXT_AT - 1] = TimestampTzGetDatum(next_at);
	slot->tts_values[RATE_KIND - 1] = CStringGetTextDatum(rate->key->kind);
	slot->tts_values[RATE_NAME - 1] = CStringGetTextDatum(rate->key->name);
	slot->tts_values[RATE_TENANT - 1] = CStringGetTextDatum(rate->key->tenant);
	memset(slot->tts_isnull, 0, sizeof(bool) * RATE_COLUMNS);
	table_tuple_insert(rate->table, slot, GetCurrentCommandId(true), 0, NULL);
	wf_append_to_indexes(rate->table, &slot, 1);
	write_in_place(rate, freeze, next_at);
	tell_sweeper();
}

static void
write_by_statement(const WfRateKey *key, TimestampTz next_at)
{
	Datum		values[] = {
		TimestampTzGetDatum(next_at), CStringGetTextDatum(key->kind),
		CStringGetTextDatum(key->name), CStringGetTextDatum(key->tenant)
	};

	wf_plan_execute(&write_plan, values, NULL);
}

static void
write_rate(const Rate *rate, WfRateMode mode, TimestampTz next_at)
{
	if (mode == WF_RATE_IS_UNDONE)
		write_by_statement(rate->key, next_at);
	else if (rate->is_found)
		write_in_place(rate, set_next_at, next_at);
	else
		insert_frozen(rate, next_at);
}

static uint32
hash_of(const char *text, uint32 seed)
{
	return hash_combine(seed, hash_bytes((const unsigned char *) text, strlen(text)));
}

/*
 * Takes the turn of the limit, and finds its row as it stays until the turn ends.
 * Nobody who has the turn waits for anybody.
 */
static void
begin_turn(Rate *rate)
{
	const WfRateKey *key = rate->key;

	rate->of = hash_of(key->name, hash_of(key->kind, 0));
	rate->part = hash_of(key->tenant, rate->of);
	wf_await_turn(WF_TURN_RATE, rate->of, rate->part);
	find_row(rate);
}

static void
end_turn(const Rate *rate)
{
	wf_end_turn(WF_TURN_RATE, rate->of, rate->part);
}

static bool
try_charge(Rate *rate, WfRateMode mode, WfRateCharge charge, void *argument)
{
	TimestampTz was;
	TimestampTz next_at;

	begin_turn(rate);
	if (!TransactionIdIsValid(rate->writer))
	{
		was = next_at_of(rate);
		next_at = charge(was, argument);
		if (next_at != was)
			write_rate(rate, mode, next_at);
	}
	end_turn(rate);

	return !TransactionIdIsValid(rate->writer);
}

bool
wf_rate_charge(const WfRateKey *key, WfRateMode mode, bool waits, WfRateCharge charge,
			   void *argument)
{
	Rate		rate;
	bool		is_done;

	open_rate(&rate, key, RowExclusiveLock);
	while (!(is_done = try_charge(&rate, mode, charge, argument)) && waits)
	{
		ExecClearTuple(rate.slot);
		XactLockTableWait(rate.writer, NULL, NULL, XLTW_None);
	}
	close_rate(&rate);

	return is_done;
}

/* --------------------------------------------------------------- forgetting */

/*
 * What somebody holds, or is about to change, is left for another time: who has the turn
 * waits for nobody.
 */
static void
delete_row(const Rate *rate)
{
	TM_FailureData failure;

	(void) table_tuple_delete(rate->table, &rate->slot->tts_tid, GetCurrentCommandId(true),
							  SnapshotAny, InvalidSnapshot, false, &failure, false);
}

/*
 * Who charges it after that waits until we have committed, or goes without.
 */
static void
forget(const WfRateKey *key, TimestampTz until)
{
	Rate		rate;

	open_rate(&rate, key, RowExclusiveLock);
	begin_turn(&rate);
	if (rate.is_found && !TransactionIdIsValid(rate.writer) && next_at_of(&rate) <= until)
		delete_row(&rate);
	end_turn(&rate);
	close_rate(&rate);
}

TimestampTz
wf_rates_sweep(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = now - SWEEP_AFTER_US;
	static TimestampTz again_at = 0;
	static bool is_empty = false;	/* as it was then; what comes is forgotten
									 * in some round after that */
	Datum		values[] = {TimestampTzGetDatum(until), Int64GetDatum(SWEEP_LIMIT)};
	uint64		count;
	WfRateKey  *keys;

	if (now < again_at)
		return is_empty ? DT_NOEND : again_at;
	count = wf_plan_execute(&rested_plan, values, NULL);
	keys = palloc(sizeof(WfRateKey) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
		keys[i] = (WfRateKey)
	{
		wf_result_text(i, 1), wf_result_text(i, 2), wf_result_text(i, 3)
	};
	for (uint64 i = 0; i < count; i++)
		forget(&keys[i], until);
	if (count == SWEEP_LIMIT)
		return now + USECS_PER_SEC;
	wf_plan_execute(&first_plan, NULL, NULL);
	again_at = now + SWEEP_AFTER_US;	/* what is charged from now on rests
										 * later */
	is_empty = wf_result_is_null(0, 1);
	if (is_empty)
		return DT_NOEND;
	again_at = Max(now, DatumGetTimestampTz(wf_result_datum(0, 1, NULL))) + SWEEP_AFTER_US;
	again_at = Min(again_at, now + SWEEP_AT_LEAST_US);

	return again_at;
}
