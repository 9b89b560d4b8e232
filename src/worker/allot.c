/*
 * allot.c
 *	  Who gives a process up, and whose turn it is to take one: for the launcher.
 *
 * A database whose maintenance worker lacks a process for an sql or http worker
 * comes before those that want a maintenance worker: it holds one to no use.  The
 * first of them has the turn, in which nobody else takes a process, so that what is
 * given up for it is not taken by others: for longer than anybody may keep one who
 * has work, but not where there is nobody to give one up.
 *
 * Nobody is asked for more than is wanted.  One that was asked and has ended counts
 * for a second more: its process is free only when the server has noticed.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "utils/timestamp.h"
#include "worker/allot.h"
#include "worker/share.h"

#define KEPT_FREE 1
#define TURN_MS (WF_TURN_MS + 5000) /* by then one with work has given way */
#define NOTICE_LOOK_MS 100
#define FIRST_RETRY_MS 1000
#define LAST_RETRY_MS 10000
#define TELL_MS 10000			/* so long a refusal is nobody's concern */
#define QUIET_MS (60 * 60 * 1000)	/* after so long it is news again */

static Oid	turn = InvalidOid;
static TimestampTz turn_began_at = 0;
static int	nended = 0;			/* processes given up and not taken yet */
static int	retry_ms = FIRST_RETRY_MS;
static TimestampTz shared_at = 0;	/* when somebody was last asked */
static TimestampTz refused_since = 0;
static bool has_said_refused = false;

/*
 * A maintenance worker has given its process up.
 */
void
wf_allot_note_ended(void)
{
	nended++;
}

static void
note_taken(void)
{
	nended = Max(0, nended - 1);
}

/*
 * A maintenance worker was started.
 */
void
wf_allot_note_started(void)
{
	note_taken();
	retry_ms = FIRST_RETRY_MS;
	refused_since = 0;
	has_said_refused = false;
}

static bool
is_up(const WfWorkerSlot *slot)
{
	return slot->state == WF_SLOT_STARTING || slot->state == WF_SLOT_RUNNING;
}

static bool
is_ours(const WfWorkerSlot *slots, int n, int pid)
{
	for (int i = 0; i < n; i++)
		if (slots[i].state == WF_SLOT_RUNNING && slots[i].pid == pid)
			return true;

	return false;
}

/*
 * How many maintenance workers may be started.  They leave one process to workers
 * that have work, and to others; but there may always be one of them.
 */
int
wf_allot_room(const WfWorkerSlot *slots, int n)
{
	int		   *pids;
	int			nup = wf_background_workers(&pids);
	int			nours = 0;
	int			nothers = 0;
	int			nmaintenance = 0;

	for (int i = 0; i < n; i++)
		if (is_up(&slots[i]))
		{
			nours++;
			nmaintenance += slots[i].kind == WF_WORKER_MAINTENANCE;
		}
	for (int i = 0; i < nup; i++)
		if (!is_ours(slots, n, pids[i]))
			nothers++;

	return Max(max_worker_processes - nours - nothers - KEPT_FREE, nmaintenance == 0 ? 1 : 0);
}

static bool
has_others(const WfWorkerSlot *slots, int n)
{
	for (int i = 0; i < n; i++)
		if (slots[i].kind == WF_WORKER_SQL || slots[i].kind == WF_WORKER_HTTP)
			return true;

	return false;
}

/*
 * Whether some other worker of ours may give its process up, or has just done so.
 */
static bool
may_come(const WfWorkerSlot *slots, int n, Oid taker)
{
	for (int i = 0; i < n; i++)
		if (is_up(&slots[i]) && slots[i].kind == WF_WORKER_MAINTENANCE &&
			slots[i].database != taker)
			return true;

	return has_others(slots, n) || wf_share_one_is_ending();
}

/*
 * Finds the database that has lacked a worker for longest, and whether it has the
 * turn: not for ever, where there may be no process for it at all.
 */
void
wf_allot_lacking(const WfWorkerSlot *slots, int n, WfNeed *need)
{
	TimestampTz now = GetCurrentTimestamp();

	need->lacking = wf_share_first_lack(slots, n);
	if (need->lacking != turn || TimestampDifferenceExceeds(turn_began_at, now, 2 * TURN_MS))
	{
		if (OidIsValid(turn) && need->lacking != turn)
			note_taken();
		turn = need->lacking;
		turn_began_at = now;
	}

	need->has_turn = OidIsValid(turn) && may_come(slots, n, turn) &&
		!TimestampDifferenceExceeds(turn_began_at, now, TURN_MS);
}

static void
sooner(TimestampTz *next, long milliseconds)
{
	TimestampTz then = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);

	*next = Min(*next, then);
}

static void
tell_that_they_share(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (shared_at == 0 || TimestampDifferenceExceeds(shared_at, now, QUIET_MS))
		ereport(LOG,
				(errmsg("databases take turns with the background workers of pg_workflow"),
				 errdetail("There are fewer background workers than databases that have the extension."),
				 errhint("Raise max_worker_processes.")));
	shared_at = now;
}

static void
tell_that_none_is_free(int nwanting)
{
	if (refused_since == 0)
		refused_since = GetCurrentTimestamp();
	if (has_said_refused ||
		!TimestampDifferenceExceeds(refused_since, GetCurrentTimestamp(), TELL_MS))
		return;
	has_said_refused = true;
	ereport(LOG,
			(errmsg("no background worker is free for pg_workflow"),
			 errdetail("Databases that want one: %d. Others hold all that there are.", nwanting),
			 errhint("Raise max_worker_processes.")));
}

/*
 * Asks as many to rest as are wanted and not coming yet.  Returns how many are.
 */
static int
make_room(WfWorkerSlot *slots, int n, const WfNeed *need, TimestampTz *at)
{
	int			nwanted = need->nwanting + (OidIsValid(need->lacking) ? 1 : 0);
	int			ncoming = nended;
	bool		others_want = !need->has_turn && need->nwanting > 0;
	Oid			taker = others_want ? InvalidOid : need->lacking;
	Oid			giver;

	*at = DT_NOEND;
	for (int i = 0; i < n; i++)
		if (slots[i].state == WF_SLOT_RUNNING && slots[i].is_asked_to_rest)
			ncoming++;
	while (ncoming < nwanted &&
		   OidIsValid(giver = wf_share_giver(slots, n, taker, at)))
	{
		for (int i = 0; i < n; i++)
			if (slots[i].kind == WF_WORKER_MAINTENANCE && slots[i].database == giver)
				slots[i].is_asked_to_rest = true;
		if (!wf_share_ask_to_rest(giver))
			continue;
		ncoming++;
		tell_that_they_share();
	}

	return ncoming;
}

/*
 * Asks sql and http workers that can go to do so, not too often: all of them look.
 */
static void
ask_the_idle(void)
{
	static TimestampTz asked_at = 0;

	if (!TimestampDifferenceExceeds(asked_at, GetCurrentTimestamp(), FIRST_RETRY_MS / 2))
		return;
	asked_at = GetCurrentTimestamp();
	wf_registry_want_process();
}

/*
 * Sees to it that what is needed will be had; lowers *next to when to look again.
 */
void
wf_allot(WfWorkerSlot *slots, int n, const WfNeed *need, TimestampTz *next)
{
	bool		is_scarce = need->is_refused || OidIsValid(need->lacking);
	bool		one_is_ending = wf_share_one_is_ending();
	TimestampTz at;
	int			ncoming;

	if (!one_is_ending)
		nended = 0;
	wf_share_give_turn(is_scarce, need->lacking);
	if (!is_scarce)
	{
		if (need->nwanting > 0)
			sooner(next, FIRST_RETRY_MS);	/* others are starting */
		return;
	}

	ask_the_idle();
	if (OidIsValid(need->lacking))
		wf_wake_maintenance_of(need->lacking);	/* it tries again */
	ncoming = make_room(slots, n, need, &at);
	*next = Min(*next, at);
	if (one_is_ending)
		sooner(next, NOTICE_LOOK_MS);
	else if (ncoming > 0 || has_others(slots, n) || OidIsValid(need->lacking))
		sooner(next, FIRST_RETRY_MS);
	else
	{
		if (at == DT_NOEND)
			tell_that_none_is_free(need->nwanting);
		sooner(next, retry_ms);
		retry_ms = Min(LAST_RETRY_MS, retry_ms * 2);
	}
}
