/*
 * lane_internal.h
 *	  What the files of the lane room share.
 *
 * Memory: an arena of pages of 8 kB, in shared memory (arena.c).  A store
 * (store.c) is what a database has in it: the lanes of its queues, how many
 * living jobs each segment holds, and the claims.  A lane (slot.c) is a list
 * of pages of slots, a slot for each job, in the order of their storing.
 *
 * Locks are taken in this order: store, lane, arena.  All are held for
 * microseconds only, and nothing raises while one is held.
 */
#ifndef WF_LANE_INTERNAL_H
#define WF_LANE_INTERNAL_H

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "base/compat.h"
#include "lane/lane.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"

/* ------------------------------------------------------------------- arena */

#define WF_ARENA_PAGE 8192

/* Pages are known by their number; no page has number 0. */
typedef uint32 WfPageNo;

typedef enum WfPageUse
{
	WF_PAGE_FREE,
	WF_PAGE_STORE,
	WF_PAGE_LANES,
	WF_PAGE_SLOTS,
	WF_PAGE_CLAIMS,
	WF_PAGE_FIGURES,
} WfPageUse;

/* How every page begins. */
typedef struct WfPage
{
	uint32		use;			/* WfPageUse */
	WfPageNo	next;			/* of the same kind, or free */
} WfPage;

extern void wf_arena_init(void);
extern bool wf_arena_attach(void);
extern int	wf_arena_tranche(void);
extern WfPage *wf_arena_page(WfPageNo page);
extern WfPageNo wf_arena_number(const WfPage *page);
extern bool wf_arena_is(WfPageNo page, WfPageUse use);
extern WfPageNo wf_arena_take(WfPageUse use);
extern void wf_arena_give(WfPageNo page);
extern void wf_arena_spare(WfPageNo *list, WfPageUse use);
extern bool wf_arena_give_spare(WfPageNo *list);
extern void wf_arena_for_each_store(void (*take) (WfPage *page));
extern WfPageNo wf_arena_find_store(bool (*is_it) (WfPage *page),
									void (*set_up) (WfPage *page, WfPageNo self));

/* ------------------------------------------------------------------- slots */

typedef enum WfSlotState
{
	WF_SLOT_STORED,				/* by a transaction that has not ended */
	WF_SLOT_READY,
	WF_SLOT_TAKEN,				/* claimed by one that has not ended */
	WF_SLOT_CLAIMED,
	WF_SLOT_ENDING,				/* leaves the lane, if a transaction commits */
	WF_SLOT_ENDED,
} WfSlotState;
#define WF_SLOT_STATES (WF_SLOT_ENDED + 1)

/* While it is ending a slot has the claim that it had before, if any. */
static inline bool
wf_slot_has_claim(WfSlotState state)
{
	return state == WF_SLOT_TAKEN || state == WF_SLOT_CLAIMED || state == WF_SLOT_ENDING;
}

typedef struct WfSlot
{
	int64		job_id;
	ItemPointerData tid;		/* of its row */
	uint8		segment;		/* the row is there */
	uint8		state;			/* WfSlotState */
	uint32		owner;			/* while stored: process; from taken on: claim */
	uint32		stored_ms;		/* since the first of the page */
} WfSlot;

typedef struct WfSlotPage
{
	WfPage		page;
	WfPageNo	previous;
	uint32		lane;			/* WfLaneNo */
	uint16		used;			/* slots given away */
	uint16		ready;
	uint16		alive;			/* not ended */
	uint16		first_ready;	/* no slot before it is ready */
	uint64		sequence;		/* order of the lane's pages */
	TimestampTz first_stored;
	WfSlot		slots[FLEXIBLE_ARRAY_MEMBER];
} WfSlotPage;

#define WF_SLOTS_IN_PAGE \
	((uint32) ((WF_ARENA_PAGE - offsetof(WfSlotPage, slots)) / sizeof(WfSlot)))

/* ------------------------------------------------------------------ claims */

/* The end of a lease that is over, whatever the time. */
#define WF_LANE_NOW INT64CONST(1)

#define WF_CLAIM_WORKER 60

typedef struct WfLaneClaim
{
	uint8		secret[WF_LANE_SECRET];
	TimestampTz session_start;
	TimestampTz claimed_at;
	TimestampTz lease_until;	/* 0: bound to the session */
	int			session_pid;
	uint32		open;			/* jobs that have not ended; 0: not in use */
	uint32		next_free;		/* WfClaimNo */
	WfSlotNo	later_slot;
	int64		later_job;		/* whose claim's row is written later, if it
								 * is still open then; 0: at once */
	uint8		segment;		/* of its row; 0: not written yet */
	bool		is_restored;	/* from before the lanes were built: its
								 * tokens may name other places */
	char		worker[WF_CLAIM_WORKER];

	/*
	 * kept when the entry is given to another claim: its place in the list of
	 * those that may have to be written later
	 */
	pg_atomic_uint32 is_listed;
	pg_atomic_uint32 next_listed;	/* WfClaimNo */
} WfLaneClaim;

typedef struct WfClaimPage
{
	WfPage		page;
	uint32		used;			/* entries that were ever in use */
	WfLaneClaim claims[FLEXIBLE_ARRAY_MEMBER];
} WfClaimPage;

#define WF_CLAIMS_IN_PAGE \
	((uint32) ((WF_ARENA_PAGE - offsetof(WfClaimPage, claims)) / sizeof(WfLaneClaim)))

/* A claim: page * WF_CLAIMS_IN_PAGE + index; 0 is none. */
typedef uint32 WfClaimNo;

/* ------------------------------------------------------------------- lanes */

typedef struct WfLane
{
	LWLock		lock;
	int			queue_no;
	WfPageNo	store;
	WfPageNo	first;
	WfPageNo	last;
	WfPageNo	head;			/* no page before it has a ready slot; 0: none */
	uint64		next_sequence;
	uint64		count[WF_SLOT_STATES];	/* slots of each state; ended ever */
} WfLane;

typedef struct WfLanePage
{
	WfPage		page;
	uint32		used;			/* lanes are never given back */
	WfLane		lanes[FLEXIBLE_ARRAY_MEMBER];
} WfLanePage;

#define WF_LANES_IN_PAGE \
	((uint32) ((WF_ARENA_PAGE - offsetof(WfLanePage, lanes)) / sizeof(WfLane)))

/* ------------------------------------------------------------------ stores */

typedef enum WfStoreState
{
	WF_STORE_STALE,				/* to be built from the tables */
	WF_STORE_BUILDING,
	WF_STORE_BUILT,
} WfStoreState;

/* Most transactions that may be running while jobs are counted. */
#define WF_FIGURE_RUNNING_MAX 1024

/* The figures of a database, see figure_root.c. */
typedef struct WfFigureRoot
{
	LWLock		lock;
	int			state;
	WfPageNo	first;			/* of the pages; only ever added to */
	uint32		counting;		/* how often the jobs were counted */
	FullTransactionId end;		/* xmax and xip of the snapshot that they were */
	int			n_running;		/* counted with */
	TransactionId running[WF_FIGURE_RUNNING_MAX];
	int			n_prepared;
	TransactionId prepared[64]; /* that have changed jobs */
} WfFigureRoot;

/* Ids that are taken from a sequence and not handed out yet, see ids.c. */
typedef struct WfReserve
{
	WfPlace		place;			/* of the sequence; zeroed: none were taken */
	int64		last;			/* of them */
	XLogRecPtr	logged_at;		/* that of the sequence's page then */
	pg_atomic_uint64 next;		/* beyond the last: none is left */
	int			size;			/* of the block */
	TimestampTz taken_at;
} WfReserve;

typedef struct WfStore
{
	WfPage		page;
	LWLock		lock;
	ConditionVariable changed;	/* of state */
	WfPageNo	self;
	Oid			database;
	Oid			table;			/* the first segment, of this installation */
	WfStoreState state;
	pg_atomic_uint32 n_open;	/* transactions that are to change slots */
	bool		is_outdated;	/* rows came while it was being built */
	bool		is_moving;		/* who builds it moves jobs into the table */
	WfPageNo	lane_page;		/* the latest */
	LWLock		claim_lock;		/* of the two below; taken last but for the
								 * arena's */
	WfPageNo	claim_page;		/* the latest */
	WfClaimNo	free_claim;
	pg_atomic_uint32 first_listed;	/* WfClaimNo, see later.c */
	pg_atomic_uint32 restored;	/* claims that are, and have open jobs */
	TimestampTz next_lease_end; /* none ends before; infinity */
	int			current_segment;
	pg_atomic_uint64 alive[WF_LANE_SEGMENTS];	/* jobs and claims in each
												 * that have not ended */
	Oid			file[WF_LANE_SEGMENTS]; /* that the places of rows are of */
	bool		is_empty[WF_LANE_SEGMENTS]; /* and to be turned to */
	TimestampTz idle_since[WF_LANE_SEGMENTS];	/* for who truncates; 0: not */
	TransactionId idle_before[WF_LANE_SEGMENTS];	/* the next one then */
	int64		built_until;	/* the last job that it was built with */
	WfFigureRoot figures;
	WfReserve	reserves[WF_IDS];
} WfStore;

/* store.c */
extern WfStore *wf_store_at(WfPageNo page);
extern WfStore *wf_store_find(void);
extern WfStore *wf_store_known(void);
extern void wf_store_init(void);
pg_noreturn extern void wf_store_distrust(WfStore *store, int64 job_id);
extern WfStore *wf_store_enter(void);
extern WfStore *wf_store_enter_built(void);
extern void wf_store_leave(WfStore *store);
extern void wf_store_outdate(WfStore *store);
extern void wf_store_set_lease_end(WfStore *store, TimestampTz end);
extern void wf_store_lower_lease_end(WfStore *store, TimestampTz end);

/* build.c */
extern void wf_store_lock_tables(void);
extern void wf_store_unlock_tables(void);
extern void wf_store_wipe(WfStore *store);
extern void wf_store_build(WfStore *store);

/* A row of a segment; where its columns are is valid until the next. */
typedef struct WfSegmentRow
{
	ItemPointerData tid;
	int			segment;		/* 0: it is not written yet */
	int			queue_no;
	TimestampTz at;
	int64		job_id;			/* 0: a claim */
	struct ArrayType *job_ids;	/* of a claim */
	bytea	   *secret;
	const char *worker;
	TimestampTz lease_until;
	int			session_pid;
	TimestampTz session_start;
} WfSegmentRow;

/* segment.c */
typedef enum WfSegmentColumn
{
	WF_SEGMENT_JOB_ID = 1,		/* of a job */
	WF_SEGMENT_QUEUE_NO,
	WF_SEGMENT_AT,				/* stored, claimed */
	WF_SEGMENT_PAYLOAD,
	WF_SEGMENT_JOB_IDS,			/* of a claim */
	WF_SEGMENT_SECRET,
	WF_SEGMENT_WORKER,
	WF_SEGMENT_LEASE_UNTIL,
	WF_SEGMENT_SESSION_PID,		/* without a lease */
	WF_SEGMENT_SESSION_START,
} WfSegmentColumn;

extern Oid	wf_segment_oid(int segment);
extern BlockNumber wf_segment_blocks(int segment, Oid *file);
extern void wf_segment_store(int segment, int queue_no, const int64 *job_ids,
							 const Datum *payloads, int count, TimestampTz stored_at,
							 ItemPointerData *tids);
extern Jsonb *wf_segment_payload(int segment, ItemPointerData tid, int64 job_id);
extern void wf_segment_read(WfLaneJob *jobs, int count);

/* The segment that a claim has open: most often its own row goes where it reads. */
typedef struct WfSegmentUse
{
	int			segment;		/* 0: none */
	bool		is_checked;		/* the places of its rows hold */
	struct RelationData *relation;
	struct TupleTableSlot *row;
} WfSegmentUse;

extern void wf_segment_take(WfSegmentUse *use, WfLaneJob *jobs, int count);
extern void wf_segment_store_claim(WfSegmentUse *use, int segment, int queue_no,
								   const WfLaneClaim *claim, const int64 *job_ids, int count);
extern void wf_segment_leave(WfSegmentUse *use);
extern void wf_segment_scan(int segment, Oid *file,
							void (*take) (const WfSegmentRow *row, void *argument),
							void *argument);

/* rotate.c */
extern void wf_segment_turn(WfStore *store, int segment, const ItemPointerData *place);

/* store_lanes.c */
extern WfLaneNo wf_store_lane(WfStore *store, int queue_no);
extern WfLaneNo wf_store_next_lane(WfStore *store, WfLaneNo lane);

/* ids.c */
extern void wf_ids_init(WfStore *store);

/* figure_root.c */
extern void wf_figure_root_init(WfStore *store);
extern void wf_figure_root_wipe(WfStore *store);

/* rests.c */
extern void wf_store_rests_on_me(WfStore *store);
extern void wf_rests_init(void);

/* slot.c */
extern WfLane *wf_lane_at(WfLaneNo lane);
extern bool wf_slot_lock(WfSlotNo slot, int64 job_id);
extern WfSlot *wf_slot_at(WfSlotNo slot);
extern WfLaneNo wf_slot_lane(WfSlotNo slot);
extern TimestampTz wf_slot_stored_at(WfSlotNo slot);
extern WfSlotNo wf_slot_push(WfLane *lane, WfLaneNo lane_no, const WfSlot *new_slot,
							 TimestampTz now);
extern void wf_slot_set(WfLane *lane, WfSlotNo slot, WfSlotState state, uint32 owner);
extern int	wf_slot_find(WfLane *lane, int limit, TimestampTz before, uint32 own,
						 WfSlotNo *found);
extern void wf_slot_wipe(WfLane *lane);
extern WfSlotNo wf_slot_first_ready(WfLane *lane);

/* token.c */
extern bool wf_token_draw(uint8 *secret);
extern bool wf_token_read(const char *token, uint8 *secret, WfSlotNo *slot);

/* lane.c */
extern void wf_lane_end_slot(WfLane *lane, WfSlotNo slot, struct WfLaneEnd *end);
pg_noreturn extern void wf_lane_refuse_for_now(int64 job_id);
extern void wf_lane_wait_for_other(int64 job_id, TimestampTz since);

/* claims.c */
extern WfLaneClaim *wf_claim_at(WfClaimNo claim);
extern bool wf_claim_is_own(const WfLaneClaim *claim);
extern WfClaimNo wf_claim_new(WfStore *store);
extern void wf_claim_end(WfStore *store, WfClaimNo claim, uint32 jobs);
extern bool wf_claim_disown(WfStore *store);
extern void wf_claim_give(WfStore *store, WfClaimNo claim);

extern WfClaimNo wf_claim_restore(WfStore *store, const WfSegmentRow *row);
extern void wf_claim_wipe(WfStore *store);

/* later.c */
extern void wf_claim_record(WfSegmentUse *use, WfLane *lane, WfClaimNo claim,
							const WfLaneAsk *ask, const WfLaneJob *jobs, int count);
extern void wf_later_write_own(WfSegmentUse *use, WfSlotNo slot);
extern void wf_later_end(WfStore *store, bool is_commit);
extern struct List *wf_later_rows(WfStore *store);
extern void wf_later_list(WfStore *store, WfClaimNo claim);

/* moved.c */
extern WfSlotNo wf_slot_of_token(WfStore *store, WfSlotNo told, int64 job_id,
								 const uint8 *secret);

/* mark.c */
extern void wf_mark_init(void);
extern void wf_mark_reserve(WfStore *store, int count);
extern void wf_mark(WfSlotNo slot, WfSlotState is, WfSlotState on_commit,
					WfSlotState on_abort, uint32 owner_on_abort);
extern void wf_mark_undo(int count);
extern bool wf_mark_any_stored(void);
extern void wf_mark_put_back(WfSlotNo slot);
extern bool wf_mark_is_ending(WfSlotNo slot);
extern uint64 wf_mark_count_ending(WfLaneNo lane);
extern void wf_mark_leave(void);
extern void wf_lane_move_into_table(WfLaneEnd *ends, int count);
extern WfStore *wf_mark_store(void);

#endif							/* WF_LANE_INTERNAL_H */
