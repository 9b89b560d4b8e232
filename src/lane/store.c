/*
 * store.c
 *	  What a database has in shared memory: lanes, claims, living jobs of each
 *	  segment.
 *
 * A store is built from the tables by whoever needs it first after the start
 * of the server, or after a restore has written to the segments; the others
 * wait meanwhile.  A transaction enters a store before it changes anything
 * that the store knows about, and leaves it when it has ended: it can be built
 * only while nobody is inside.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/end.h"
#include "base/plan.h"
#include "base/switched.h"
#include "base/wake.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "lane_internal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/*
 * Who waits for another one to build looks so often whether it has given up, or
 * waits itself.
 */
#define BUILD_LOOK_MS 100

static Oid	wanted_table;
static WfStore *known_store = NULL; /* of this database */
static bool is_building = false;	/* this process is */

WfStore *
wf_store_at(WfPageNo page)
{
	return (WfStore *) wf_arena_page(page);
}

static bool
is_wanted(WfPage *page)
{
	WfStore    *store = (WfStore *) page;

	return store->database == MyDatabaseId && store->table == wanted_table;
}

static void
set_up(WfPage *page, WfPageNo self)
{
	WfStore    *store = (WfStore *) page;

	store->self = self;
	store->database = MyDatabaseId;
	store->table = wanted_table;
	store->state = WF_STORE_STALE;
	store->current_segment = 1;
	store->next_lease_end = DT_NOEND;
	LWLockInitialize(&store->lock, wf_arena_tranche());
	LWLockInitialize(&store->claim_lock, wf_arena_tranche());
	ConditionVariableInit(&store->changed);
	pg_atomic_init_u32(&store->n_open, 0);
	pg_atomic_init_u32(&store->restored, 0);
	pg_atomic_init_u32(&store->first_listed, 0);
	wf_figure_root_init(store);
	for (int i = 0; i < WF_LANE_SEGMENTS; i++)
		pg_atomic_init_u64(&store->alive[i], 0);
	wf_ids_init(store);
}

static void
set_state(WfStore *store, WfStoreState state)
{
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	store->is_moving = false;
	store->state = state == WF_STORE_BUILT && store->is_outdated ? WF_STORE_STALE : state;
	LWLockRelease(&store->lock);
	ConditionVariableBroadcast(&store->changed);
}

/*
 * Frees what a store holds that nobody will enter any more: that of a dropped
 * database, or of an installation that was dropped here.  Who may have dropped it
 * himself, and not for good, leaves that to others: no table tells all of its claims.
 */
static void
free_if_gone(WfPage *page)
{
	WfStore    *store = (WfStore *) page;
	bool		is_free;

	if (store->database == MyDatabaseId ?
		store->table == wanted_table || TransactionIdIsValid(GetTopTransactionIdIfAny()) :
		SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(store->database)))
		return;
	wf_figure_root_wipe(store); /* who changes jobs has a lock on them */
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	is_free = store->state == WF_STORE_BUILT;
	if (is_free)
	{
		store->state = WF_STORE_BUILDING;
		pg_memory_barrier();	/* who comes inside now sees that */
		is_free = pg_atomic_read_u32(&store->n_open) == 0;
		store->state = is_free ? WF_STORE_BUILDING : WF_STORE_BUILT;
	}
	LWLockRelease(&store->lock);
	if (!is_free)
		return;
	wf_store_wipe(store);
	set_state(store, WF_STORE_STALE);
}

/*
 * The store of this database, whatever its state; NULL without memory, and on a
 * standby, where the tables change without a word.
 */
WfStore *
wf_store_find(void)
{
	WfPageNo	page;

	if (RecoveryInProgress() || !wf_arena_attach())
		return NULL;
	wanted_table = wf_segment_oid(1);
	if (known_store != NULL && is_wanted(&known_store->page))
		return known_store;
	wf_arena_for_each_store(free_if_gone);
	page = wf_arena_find_store(is_wanted, set_up);
	known_store = page == 0 ? NULL : wf_store_at(page);

	return known_store;
}

/*
 * The store that this process has found before, or NULL.
 */
WfStore *
wf_store_known(void)
{
	return known_store;
}

static void
give_up_building(int code, Datum store)
{
	is_building = false;
	set_state((WfStore *) DatumGetPointer(store), WF_STORE_STALE);
}

static void
build(WfStore *store)
{
	PG_ENSURE_ERROR_CLEANUP(give_up_building, PointerGetDatum(store));
	{
		is_building = true;
		wf_store_build(store);
		is_building = false;
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up_building, PointerGetDatum(store));
	set_state(store, WF_STORE_BUILT);	/* stale, if rows came meanwhile */
	/* it may have looked before anybody knew of the claims */
	if (!TIMESTAMP_IS_NOEND(store->next_lease_end))
		wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
}

typedef enum Entry
{
	ENTRY_INSIDE,
	ENTRY_LOCK,					/* the tables, for it may be for the caller to
								 * build */
	ENTRY_BUILD,				/* it is */
	ENTRY_WAIT,					/* somebody is building */
	ENTRY_NONE,					/* stale, and somebody is still inside; or who
								 * builds may wait for the caller */
} Entry;

/*
 * Enters a store that is built.  Without its lock: whoever is about to change that
 * says so first and counts those inside then, and who comes inside counts himself
 * first and looks then.
 */
static bool
come_inside(WfStore *store)
{
	if (*(volatile WfStoreState *) &store->state != WF_STORE_BUILT)
		return false;
	pg_atomic_fetch_add_u32(&store->n_open, 1);
	if (*(volatile WfStoreState *) &store->state == WF_STORE_BUILT)
		return true;
	pg_atomic_fetch_sub_u32(&store->n_open, 1);

	return false;
}

/*
 * since: when the caller began to wait.  Who moves jobs into the table runs triggers,
 * which may wait for the caller.
 */
static Entry
try_to_enter(WfStore *store, bool has_locks, TimestampTz since)
{
	Entry		entry = ENTRY_WAIT;

	if (come_inside(store))
		return ENTRY_INSIDE;
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	if (store->is_moving &&
		TimestampDifferenceExceeds(since, GetCurrentTimestamp(), DeadlockTimeout))
		entry = ENTRY_NONE;
	else if (store->state == WF_STORE_BUILT)
	{
		pg_atomic_fetch_add_u32(&store->n_open, 1);
		entry = ENTRY_INSIDE;
	}
	else if (store->state == WF_STORE_STALE)
	{
		entry = pg_atomic_read_u32(&store->n_open) > 0 ? ENTRY_NONE : has_locks ? ENTRY_BUILD : ENTRY_LOCK;
		if (entry == ENTRY_BUILD)
		{
			store->state = WF_STORE_BUILDING;
			store->is_outdated = false;
		}
	}
	LWLockRelease(&store->lock);

	return entry;
}

/*
 * Enters the store for the rest of the transaction, and builds it if need be.
 * Returns NULL when there is no memory for it, or when it has to be built anew
 * and cannot be yet: to wait for a transaction that is inside could end in a
 * deadlock that nobody sees.
 */
WfStore *
wf_store_enter(void)
{
	static uint32 wait_event = 0;
	WfStore    *store = wf_mark_store();
	bool		has_locks = false;
	TimestampTz since;
	Entry		entry;

	if (store != NULL)
		return store;
	store = wf_store_find();
	if (store == NULL || is_building)	/* and a trigger of the user asks */
		return NULL;

	since = store->state == WF_STORE_BUILT ? 0 : GetCurrentTimestamp();
	while ((entry = try_to_enter(store, has_locks, since)) != ENTRY_INSIDE && entry != ENTRY_NONE)
	{
		if (entry == ENTRY_LOCK)
			wf_store_lock_tables();
		else if (entry == ENTRY_BUILD)
			build(store);
		else
			(void) ConditionVariableTimedSleep(&store->changed, BUILD_LOOK_MS,
											   wf_wait_event("PgWorkflowLanes", &wait_event));
		has_locks = has_locks || entry == ENTRY_LOCK;
	}
	ConditionVariableCancelSleep();
	if (has_locks)
		wf_store_unlock_tables();
	if (entry == ENTRY_NONE)
		return NULL;
	wf_mark_reserve(store, 0);

	return store;
}

/*
 * Enters the store for the rest of the transaction, unless it has to be built
 * first, or there is no memory for it: NULL.
 */
WfStore *
wf_store_enter_built(void)
{
	WfStore    *store = wf_mark_store();

	if (store != NULL)
		return store;
	store = wf_store_find();
	if (store == NULL || !come_inside(store))
		return NULL;
	wf_mark_reserve(store, 0);

	return store;
}

/*
 * What the store knows is no longer all, or wrong: it is built anew.
 */
void
wf_store_outdate(WfStore *store)
{
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	store->is_outdated = true;
	if (store->state == WF_STORE_BUILT)
		store->state = WF_STORE_STALE;
	LWLockRelease(&store->lock);
}

/*
 * Something is not where memory says: the rows of a segment have moved, by
 * VACUUM FULL for example.  The store is built anew for the next transaction.
 */
void
wf_store_distrust(WfStore *store, int64 job_id)
{
	wf_store_outdate(store);
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the row of job " INT64_FORMAT " is no longer where it was stored", job_id),
			 errdetail("Somebody has rewritten the table that holds it."),
			 errhint("Try again: its place will be looked up.")));
}

/* Called at the end of a transaction that is inside. */
void
wf_store_leave(WfStore *store)
{
	pg_atomic_fetch_sub_u32(&store->n_open, 1);
}

/*
 * No lease ends before that time, as far as was looked; one that was given
 * meanwhile has set it to its own end, unless that comes later.
 */
void
wf_store_set_lease_end(WfStore *store, TimestampTz end)
{
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	store->next_lease_end = end;
	LWLockRelease(&store->lock);
}

void
wf_store_lower_lease_end(WfStore *store, TimestampTz end)
{
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	store->next_lease_end = Min(store->next_lease_end, end);
	LWLockRelease(&store->lock);
}

/* Whether the present transaction has written to the tables by hand. */
static bool was_restored = false;
static WfEnd own_end = 0;

/*
 * Rows that come to nothing matter, too: the transaction may have built the
 * store with them.
 */
static void
at_end_of_restore(XactEvent event, void *arg)
{
	if (!was_restored || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	was_restored = false;
	if (known_store != NULL)
		wf_store_outdate(known_store);
}

void
wf_lane_note_restored(void)
{
	if (wf_store_find() == NULL)
		return;
	was_restored = true;
	wf_end_is_due(own_end);
}

static void
on_switched(const char *table)
{
	if (strncmp(table, "segment_", strlen("segment_")) == 0 ||
		strcmp(table, "attempt") == 0 || strcmp(table, "job") == 0)
		wf_lane_note_restored();
}

void
wf_store_init(void)
{
	own_end = wf_end_register(at_end_of_restore, NULL);
	wf_rests_init();
	wf_when_switched(on_switched);
}

PG_FUNCTION_INFO_V1(wf_lane_restored);

/*
 * _lanes_restored(): a trigger before rows are inserted
 *
 * Rows that the engine has not written itself are of a restore; what memory
 * knows is no longer all.
 */
Datum
wf_lane_restored(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger")));
	if (!wf_plan_is_running())
		wf_lane_note_restored();

	return PointerGetDatum(NULL);
}
