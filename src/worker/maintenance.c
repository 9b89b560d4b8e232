/*
 * maintenance.c
 *	  The worker that keeps a database's work going.
 *
 * It fires timers, gives back what was lost, and starts sql and http workers
 * where there is work for them and nobody to do it.  It registers for wake-ups
 * before it looks, and between looks it sleeps until the next thing is due:
 * with nothing due it runs no statement.
 *
 * A prepared transaction may be committed by a session that wakes nobody.
 * While there are any, it looks each second, and wakes everybody whenever
 * their set has changed.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/plan.h"
#include "base/rest.h"
#include "base/wake.h"
#include "item/item.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/ahead.h"
#include "worker/alerts.h"
#include "worker/claims.h"
#include "worker/clocks.h"
#include "worker/dispatch.h"
#include "worker/fold.h"
#include "worker/mains.h"
#include "worker/parts.h"
#include "worker/redrive.h"
#include "worker/retention.h"
#include "worker/share.h"
#include "worker/tell.h"

#define SECOND_MS 1000L
#define TELL_MS 10000			/* so long a lack is nobody's concern */

typedef struct Supervisor
{
	const WfDispatcher *by;
	Oid			database;
	bool		by_launcher;
	int			nworkers;		/* sql and http ones, at the last look */
	bool		put_off;		/* somebody held what had to be settled */
	bool		lacks_process;	/* there was none left for a worker that it
								 * needs */
	TimestampTz lacks_since;
	bool		has_said_so;
	bool		has_prepared;
	uint32		prepared_hash;
	WfAhead		ahead;
	TimestampTz round_due;		/* all but claims */
} Supervisor;

static WfPlan prepared_plan = {
	.name = "prepared transactions",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT pg_catalog.hashtext(pg_catalog.string_agg(transaction::pg_catalog.text, ' ' "
	"         ORDER BY transaction::pg_catalog.text)) "
	"FROM pg_catalog.pg_prepared_xacts "
	"WHERE database = pg_catalog.current_database()",
};

/*
 * Whether a prepared transaction of this database has made a relation that
 * nobody sees yet.
 */
static WfPlan prepared_relation_plan = {
	.name = "prepared relations",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT 1 FROM pg_catalog.pg_locks AS l "
	"JOIN pg_catalog.pg_database AS d ON d.oid = l.database "
	"WHERE d.datname = pg_catalog.current_database() "
	"  AND l.locktype = 'relation' AND l.pid IS NULL "
	"  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = l.relation) "
	"LIMIT 1",
};

static void
look_at_prepared(void *argument)
{
	Supervisor *self = argument;
	uint32		hash;

	wf_plan_execute(&prepared_plan, NULL, NULL);
	self->has_prepared = !wf_result_is_null(0, 1);
	hash = (uint32) wf_result_int4(0, 1);
	if (hash == self->prepared_hash)
		return;
	self->prepared_hash = hash;
	for (int topic = WF_WAKE_TASK; topic <= WF_WAKE_HTTP; topic++)
		wf_wake_at_commit(topic, NULL);
	wf_wake_watch_at_commit();	/* what it brought may be late soon */
	for (int what = 0; what < WF_AGINGS; what++)
		wf_wake_aging_at_commit(what, DT_NOEND);	/* or come of age */
}

/*
 * Notes that there is no process for a worker that has work.  Where databases take
 * turns that is nothing to tell, unless it lasts.
 */
static void
lack(Supervisor *self, WfWorkerKind kind)
{
	if (self->lacks_since == 0)
		self->lacks_since = GetCurrentTimestamp();
	self->lacks_process = true;
	wf_share_lack(true);
	wf_registry_want_process();
	if (self->has_said_so ||
		!TimestampDifferenceExceeds(self->lacks_since, GetCurrentTimestamp(), TELL_MS))
		return;
	self->has_said_so = true;
	ereport(LOG,
			(errmsg("no background worker is free for a %s worker of pg_workflow",
					wf_worker_kind_name(kind)),
			 errhint("Raise max_worker_processes.")));
}

static void
note_lack_over(Supervisor *self)
{
	if (self->lacks_process)
		return;
	self->lacks_since = 0;
	self->has_said_so = false;
	wf_share_lack(false);
}

/*
 * Returns false when there is no process for it, or it is not this database's turn
 * to take one.
 */
static bool
start_worker(Supervisor *self, WfWorkerKind kind)
{
	BackgroundWorkerHandle *handle;
	WfTicket	ticket;
	pid_t		pid;

	if (!wf_share_may_take(self->database))
		return false;
	ticket = wf_registry_reserve(kind, self->database, self->by_launcher);
	if (ticket == WF_NO_TICKET || !wf_worker_launch(ticket, kind, &handle))
		return false;
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		wf_registry_cancel(ticket);
	pfree(handle);

	return true;
}

/*
 * Starts a worker where a kind's work is due and nobody is there to do it.
 * One of each kind is always allowed.
 */
static void
start_where_due(Supervisor *self, WfWorkerKind kind, TimestampTz due)
{
	if (due == 0 || due > GetCurrentTimestamp() ||
		wf_registry_count(kind, self->database) > 0)
		return;
	if (!start_worker(self, kind))
		lack(self, kind);
}

static int
count_workers(const Supervisor *self)
{
	return wf_registry_count(WF_WORKER_SQL, self->database) +
		wf_registry_count(WF_WORKER_HTTP, self->database);
}

/*
 * Looks at what is due next, and sees to it that there are workers for it.
 */
static void
provide(Supervisor *self)
{
	wf_wake_forget_told();
	wf_ahead_look(&self->ahead);
	self->lacks_process = false;
	start_where_due(self, WF_WORKER_SQL, self->ahead.sql_due);
	start_where_due(self, WF_WORKER_HTTP, self->ahead.http_due);
	note_lack_over(self);
}

/*
 * Whether claims are the only reason to look.  All else is looked at within a second
 * after them, for there are wake-ups that leave no trace.
 */
static bool
is_for_claims(const Supervisor *self, uint32 missed)
{
	bool		is_woken = wf_wake_take_woken();

	return wf_claims_note(missed) && !is_woken && (missed & ~WF_MISSED_CLAIMS) == 0 &&
		self->round_due > GetCurrentTimestamp();
}

static void
see_to_claims(Supervisor *self)
{
	if (!wf_claims_are_due())
		return;
	self->round_due = Min(self->round_due, GetCurrentTimestamp() + USECS_PER_SEC);
	wf_claims_write();
}

/*
 * Does some of what is due; whether there was anything that may have more behind it.
 */
static bool
do_some(Supervisor *self)
{
	int			nfired;
	int			nended;
	int			nreclaimed;
	int			nredriven;
	int			nstarted;

	wf_claims_keep_up();
	nfired = wf_dispatch_timers(self->by);
	nreclaimed = wf_dispatch_reclaim(self->by, &self->put_off);
	nended = wf_dispatch_ends(self->by, &self->put_off);	/* it adds to that */
	nredriven = wf_redrive_some(self->by);
	nstarted = wf_clocks_start(self->by, &self->put_off);
	if (nredriven > 0 || nstarted > 0)
		provide(self);			/* a batch may be long */

	return nfired > 0 || nended > 0 || nreclaimed > 0 || nredriven > 0 || nstarted > 0;
}

/*
 * Each part is a transaction, or some, of its own, and pauses when it has failed
 * (parts.c).
 */
static void
run_round(Supervisor *self, uint32 missed)
{
	WfFault		fault;

	do
		CHECK_FOR_INTERRUPTS();
	while (do_some(self));
	wf_claims_write();
	wf_retention_run();
	wf_fold_run();
	wf_alerts_run(self->by, missed);

	if (self->has_prepared && wf_part_may_run(WF_PART_PREPARED))
		(void) wf_part_ended(WF_PART_PREPARED,
							 wf_round_run("looking at prepared transactions", look_at_prepared, self, &fault) ? 0 : -1);
	provide(self);
	if (wf_registry_may_help(self->database, wf_max_workers) &&
		!start_worker(self, WF_WORKER_SQL))
		self->put_off = true;	/* the others do the work meanwhile */
}

/*
 * How long there is nothing to do, in milliseconds; -1: until woken.
 */
static long
time_to_sleep(Supervisor *self)
{
	TimestampTz due = wf_earlier(wf_parts_next(),
								 wf_earlier(self->ahead.next_due, wf_alerts_next()));
	int			nworkers = count_workers(self);
	long		limit = -1;

	if (wf_registry_count(WF_WORKER_SQL, self->database) == 0)
		due = wf_earlier(due, self->ahead.sql_due);
	if (wf_registry_count(WF_WORKER_HTTP, self->database) == 0)
		due = wf_earlier(due, self->ahead.http_due);

	if (nworkers < self->nworkers)
		wf_tell_expect_orphans();
	/* one that just ended may still look alive to who gives its jobs back */
	if (self->has_prepared || self->lacks_process || self->put_off || nworkers < self->nworkers)
		limit = SECOND_MS;
	self->nworkers = nworkers;

	if (due == 0)
		return limit;

	return due < GetCurrentTimestamp() ? SECOND_MS : wf_ms_until(due, limit);
}

/*
 * Ends the process, because there is no extension, and tells the launcher so.
 */
static void
leave(const Supervisor *self)
{
	if (self->by_launcher)
		wf_registry_end_as(WF_SLOT_ABSENT);
	proc_exit(0);
}

/*
 * The end of a sleep of that length; -1: none.
 */
static TimestampTz
time_after(long milliseconds)
{
	return milliseconds < 0 ? DT_NOEND :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

/*
 * How long neither claims nor anything else is due, in milliseconds; -1: until woken.
 */
static long
until_due(const Supervisor *self)
{
	return wf_ms_until(wf_earlier(wf_claims_next(), TIMESTAMP_IS_NOEND(self->round_due) ? 0 : self->round_due), -1);
}

static void
look_for_prepared_relation(void *argument)
{
	bool	   *found = argument;

	*found = wf_plan_execute(&prepared_relation_plan, NULL, NULL) > 0;
}

/*
 * Returns when the extension is there; ends the process when there is none and
 * no prepared transaction can bring it.
 */
static void
await_extension(const Supervisor *self)
{
	for (;;)
	{
		bool		may_come = false;
		WfFault		fault;

		if (max_prepared_xacts > 0)
			(void) wf_round_run("looking for a prepared extension",
								look_for_prepared_relation, &may_come, &fault);
		if (wf_worker_extension_exists())
			return;
		if (!may_come)
			leave(self);
		wf_registry_ready();	/* whoever starts others does not wait for it */
		wf_worker_sleep(SECOND_MS, "waiting for a prepared transaction");
		if (wf_share_is_asked_to_rest())
		{
			wf_rest_begin();
			wf_share_rest(time_after(SECOND_MS));
		}
	}
}

/*
 * Sleeps until something is due, of what it has found or was told of since; a lease
 * that ends before that wakes it, to look until when.
 */
static void
rest(Supervisor *self, const char *why)
{
	TimestampTz told = wf_wake_heed(time_after(until_due(self)));
	TimestampTz until;
	long		pause;

	self->round_due = Min(self->round_due, told);
	pause = until_due(self);
	until = time_after(pause);
	wf_wake_sleep_until(until);
	wf_share_idle(until);
	wf_worker_sleep(pause, why);
	wf_share_busy();
	wf_wake_will_heed();
	wf_wake_sleep_until(DT_NOEND);
}

/*
 * Until it ends: because there is no extension, or because others need the process.
 * Then it looks once more when it is known that it rests, so that nothing is
 * missed that came before.
 */
static void
supervise(Supervisor *self)
{
	for (;;)
	{
		uint32		missed = wf_wake_take_missed();
		bool		rests = wf_share_is_asked_to_rest();

		if (rests)
			wf_rest_begin();
		wf_worker_turn();
		if (missed & (1 << WF_WAKE_MAINTENANCE))
			self->has_prepared = true;
		if (!wf_worker_extension_exists())
			leave(self);
		if (!rests && is_for_claims(self, missed))
			see_to_claims(self);
		else
		{
			run_round(self, missed);
			self->round_due = time_after(time_to_sleep(self));
		}
		if (rests)
		{
			wf_rest_news_until(self->database, wf_alerts_news_until());
			wf_share_rest(time_after(until_due(self)));
		}
		rest(self, wf_parts_next() == 0 ? "waiting for what is due next" : "waiting after an error");
		if (!wf_workers_enabled && self->by_launcher)
		{
			(void) wf_registry_terminate(self->database, WF_SLOT_FREE);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

void
wf_maintenance_main(Datum main_arg)
{
	WfWorkerSlot me;
	Supervisor	self = {0};
	WfRest		rested;

	wf_worker_begin(main_arg, &me);
	self.by = wf_dispatcher("pg_workflow maintenance");
	self.database = me.database;
	self.by_launcher = me.by_launcher;
	await_extension(&self);
	wf_parts_begin();
	self.has_prepared = true;	/* there may be some from before */
	self.nworkers = INT_MAX;	/* some may have ended just now */
	wf_wake_listen(WF_WAKE_MAINTENANCE, NULL);
	wf_alerts_begin(wf_rest_look(self.database, &rested) && rested.is_woken);
	wf_rest_end(self.database);
	wf_registry_ready();
	supervise(&self);
}
