/*
 * room.c
 *	  Whether a queue with max_length has room for more jobs.
 *
 * Who stores asks the figures before how many jobs are ready, or counts them
 * where there are none.  Far from the limit nobody waits for anybody; near it
 * callers take turns, so that together they do not pass it: figures are added to
 * before a turn ends with its transaction.
 *
 * Without room the job is refused, or its caller waits (on_full), as one waits
 * for a lock: until claims have made room, or lock_timeout has passed.  Every
 * look has a new snapshot and reads what the queue may hold by then, and no
 * turn is kept meanwhile.  Nobody waits for
 * what would never come: in a transaction with one snapshot, for more jobs
 * than the queue may ever hold, or for jobs that the transaction itself has
 * stored.  A background worker does not wait either, for it has others to
 * serve.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/sqlstate.h"
#include "base/turn.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lane/figure.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "queue_internal.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Within so many jobs of max_length callers take turns. */
#define TURNS_MARGIN 64

/* To count all jobs is worth it where so many of one queue had to be. */
#define LONG_LOOK 1000

/* What made room without a word (a hand, an item that left) is seen so soon. */
#define LOOK_EVERY_US USECS_PER_SEC

static WfPlan limit_plan = {
	.name = "queue_max_length",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT q.max_length, q.on_full = 'block' FROM workflow.queue AS q WHERE q.queue = $1",
};

static WfPlan length_plan = {
	.name = "queue_length",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, INT8OID},
	.sql =
	"SELECT pg_catalog.count(*) FROM ("
	"  (SELECT 1 FROM workflow.job AS j WHERE j.queue = $1 AND j.status = 'ready' AND NOT j.behind "
	"     AND j.kind = ANY ('{task,sql,http,model}') LIMIT $2) "
	"  UNION ALL "
	"  (SELECT 1 FROM workflow.job AS j WHERE j.queue = $1 AND j.status = 'ready' AND j.behind "
	"     AND j.kind = ANY ('{task,sql,http,model}') LIMIT $2)) AS ready",
};

typedef struct Room
{
	const char *queue;
	int			max_length;		/* 0: none */
	bool		blocks;
	int			added;
	int64		length;			/* when last looked */
} Room;

/* ------------------------------------------------------------ own jobs */

/* How many jobs the transaction has stored in a queue with max_length. */
typedef struct Own
{
	int64		count;
	char		queue[FLEXIBLE_ARRAY_MEMBER];
} Own;

static List *own_jobs = NIL;	/* Own *, in TopTransactionContext */
static TransactionId own_transaction = InvalidTransactionId;

/*
 * What is noted of the queue; NULL when nothing is.  Jobs that were stored in
 * a savepoint and rolled back are still counted: that makes a refusal of what
 * might have waited.
 */
static Own *
find_own(const char *queue)
{
	ListCell   *cell;

	if (own_transaction != GetTopTransactionIdIfAny())
		return NULL;
	foreach(cell, own_jobs)
	{
		Own		   *own = lfirst(cell);

		if (strcmp(own->queue, queue) == 0)
			return own;
	}

	return NULL;
}

static void
note_own(const Room *room)
{
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);
	Own		   *own = find_own(room->queue);

	if (own_transaction != GetTopTransactionId())
	{
		own_jobs = NIL;			/* went with its transaction */
		own_transaction = GetTopTransactionId();
	}
	if (own == NULL)
	{
		own = palloc0(offsetof(Own, queue) + strlen(room->queue) + 1);
		strcpy(own->queue, room->queue);
		own_jobs = lappend(own_jobs, own);
	}
	own->count += room->added;
	MemoryContextSwitchTo(previous);
}

/* --------------------------------------------------------------- looking */

/*
 * Reads what the queue may hold, as it is now.
 */
static void
read_limit(Room *room)
{
	Datum		name = CStringGetTextDatum(room->queue);

	if (wf_plan_execute(&limit_plan, &name, NULL) == 0)
		wf_job_refuse_queue(room->queue);
	room->max_length = wf_result_int4(0, 1);
	room->blocks = DatumGetBool(wf_result_datum(0, 2, NULL));
}

/*
 * What is known of the queue, or else what a look at its jobs finds.  Who had to
 * look at many sees to it that the next one need not.
 */
static int64
queue_length(const Room *room)
{
	Datum		values[] = {
		CStringGetTextDatum(room->queue), Int64GetDatum(room->max_length)
	};
	int64		length = wf_figure_ready(room->queue);

	if (length >= 0)
		return length;
	wf_plan_execute(&length_plan, values, NULL);
	length = wf_result_int8(0, 1);
	if (length >= LONG_LOOK)
		wf_figures_learn();

	return length;
}

static bool
fits(const Room *room)
{
	return room->max_length == 0 || room->length + room->added <= room->max_length;
}

/*
 * Which turn is that of the queue.
 */
static uint32
turn_of(const Room *room)
{
	return hash_bytes((const unsigned char *) room->queue, strlen(room->queue));
}

/*
 * Whether there is room; near the limit it is the caller's until its
 * transaction ends.
 */
static bool
has_room(Room *room)
{
	if (room->max_length == 0)
		return true;
	room->length = queue_length(room);
	if (!fits(room) || room->length + room->added + Max(room->added, TURNS_MARGIN) <= room->max_length)
		return fits(room);

	wf_await_turn(WF_TURN_ROOM, 0, turn_of(room));
	room->length = queue_length(room);
	if (!fits(room))
		wf_end_turn(WF_TURN_ROOM, 0, turn_of(room));

	return fits(room);
}

/* --------------------------------------------------------------- waiting */

pg_noreturn static void
refuse(const Room *room, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_QUEUE_FULL),
			 errmsg("queue \"%s\" is full", room->queue),
			 errdetail("It may hold %d ready jobs; it holds " INT64_FORMAT " and %d more came%s.",
					   room->max_length, room->length, room->added, why),
			 errhint("Try again when jobs have been done, or let it hold more: SELECT workflow.alter_queue(%s, '{\"max_length\": number}');",
					 quote_literal_cstr(room->queue))));
}

static void
require_hope(const Room *room, bool may_wait)
{
	const Own  *own = find_own(room->queue);

	if (!room->blocks || !may_wait)
		refuse(room, "");
	if (room->added > room->max_length)
		refuse(room, ", more than it may ever hold");
	if (own != NULL && own->count + room->added > room->max_length)
		refuse(room, psprintf("; " INT64_FORMAT " are of this transaction, and nobody can claim them before it commits",
							  own->count));
	if (IsolationUsesXactSnapshot())
		refuse(room, "; a REPEATABLE READ or SERIALIZABLE transaction would not see that there is room");
	if (MyBgworkerEntry != NULL)
		refuse(room, "; a background worker does not wait for room");
}

static void
look_until_there_is(Room *room)
{
	TimestampTz deadline = LockTimeout > 0 ?
	TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LockTimeout) : DT_NOEND;

	while (!has_room(room))
	{
		TimestampTz now = GetCurrentTimestamp();

		require_hope(room, true);
		if (now >= deadline)
			refuse(room, psprintf("; nobody made room for %d ms (lock_timeout)", LockTimeout));
		wf_claim_sleep(Min(deadline, now + LOOK_EVERY_US));
		read_limit(room);
	}
}

static void
wait_for_room(Room *room)
{
	WfWakeSeat	seat = wf_wake_listen_instead(WF_WAKE_ROOM, room->queue);

	PG_TRY();
	{
		look_until_there_is(room);
	}
	PG_FINALLY();
	{
		wf_wake_listen_again(seat);
	}
	PG_END_TRY();
}

/*
 * Raises WF012 when there is no such queue and WF009 when it has no room and
 * nobody is to wait.
 */
void
wf_queue_require_room(const char *queue, int added, bool may_wait)
{
	Room		room = {.queue = queue,.added = added};

	read_limit(&room);
	if (room.max_length == 0 || added == 0)
		return;

	if (!has_room(&room))
	{
		require_hope(&room, may_wait);
		wait_for_room(&room);
	}
	note_own(&room);
}
