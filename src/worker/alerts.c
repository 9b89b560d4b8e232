/*
 * alerts.c
 *	  Looking for what is wrong, so that alerts open and clear by themselves.
 *
 * Nothing is looked at while nothing happens.  A look says when the next thing
 * may go wrong by time alone; until then there is none.  Work that comes
 * meanwhile may be late before that: the shortest time after which an owner is
 * warned of it, the notice, says how long it may stay unseen.  So whoever
 * commits work wakes the process if it would not look within the notice
 * (wake.c); after that it has planned to, and is not woken again before.
 * What goes wrong otherwise wakes it within a second.
 *
 * A look is at least a second after the one before, and so that they take one
 * fiftieth of the time at most.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/plan.h"
#include "base/turn.h"
#include "base/wake.h"
#include "fmgr.h"
#include "utils/timestamp.h"
#include "worker/alerts.h"

#define LEAST_PAUSE_US USECS_PER_SEC
#define PAUSE_FACTOR 50

/* So long a look of a session that calls run() is not repeated at once. */
#define DEAR_US (USECS_PER_SEC / 5)

/* After a failure. */
#define AGAIN_US (60 * USECS_PER_SEC)

typedef struct Look
{
	TimestampTz next;			/* 0: nothing is planned */
	int64		notice_us;		/* 0: there are no queues */
} Look;

static Look plan_of_look = {0};
static TimestampTz allowed_at = 0;
static TimestampTz news_until = DT_NOEND;
static bool is_wanted = true;	/* there is a reason to look */
static bool is_news = false;	/* it is work that has come */

static void
look(void *argument)
{
	static WfPlan plan = {
		.name = "look for alerts",
		.expected = SPI_OK_SELECT,
		.sql = "SELECT next_at, notice FROM workflow._look_for_alerts()",
	};
	Look	   *found = argument;
	Datum		value;
	bool		isnull;

	wf_plan_execute(&plan, NULL, NULL);
	value = wf_result_datum(0, 1, &isnull);
	found->next = isnull ? 0 : DatumGetTimestampTz(value);
	value = wf_result_datum(0, 2, &isnull);
	found->notice_us = isnull ? 0 : wf_interval_us(DatumGetIntervalP(value));
}

/*
 * After a look at news there is another one when what comes unseen from now on may
 * become late; after that one, if nothing was found, none.
 */
static void
plan_next(TimestampTz now)
{
	Look	   *next = &plan_of_look;

	if (is_news && next->notice_us > 0 &&
		(next->next == 0 || next->next > now + next->notice_us))
		next->next = now + next->notice_us;
	if (next->notice_us == 0)
		news_until = DT_NOBEGIN;
	else
		news_until = next->next == 0 ? DT_NOEND : next->next - next->notice_us;
}

static void
look_and_plan(const WfDispatcher *by)
{
	static int64 cost_before = 0;
	TimestampTz began_at = GetCurrentTimestamp();
	TimestampTz ended_at;
	WfFault		fault;

	/* what comes during a look at news is seen at the next one in time */
	wf_wake_news_until(is_news ? DT_NOBEGIN : DT_NOEND, DT_NOEND);
	if (by->perform("looking for alerts", look, &plan_of_look, &fault))
	{
		ended_at = GetCurrentTimestamp();
		plan_next(ended_at);
		/* a first look finds nothing in the caches */
		allowed_at = ended_at +
			Max(LEAST_PAUSE_US, Min(ended_at - began_at, cost_before) * PAUSE_FACTOR);
		cost_before = ended_at - began_at;
	}
	else
	{
		plan_of_look.next = allowed_at = began_at + AGAIN_US;
		news_until = DT_NOBEGIN;
	}
	is_wanted = is_news = false;
	wf_wake_news_until(news_until, plan_of_look.next == 0 ? DT_NOEND : plan_of_look.next);
}

void
wf_alerts_begin(bool woken_by_work)
{
	is_news = woken_by_work;
}

/*
 * It looks as soon as it may, whatever comes until then: nothing of that is news.
 */
static void
put_off(void)
{
	plan_of_look.next = allowed_at;
	news_until = DT_NOBEGIN;
	wf_wake_news_until(DT_NOBEGIN, DT_NOBEGIN);
}

void
wf_alerts_run(const WfDispatcher *by, uint32 missed)
{
	static int	effects_mode = WF_EFFECTS_ON;
	TimestampTz now = GetCurrentTimestamp();

	is_wanted |= effects_mode != wf_effects_mode ||
		(missed & (WF_MISSED_NEWS | WF_MISSED_TROUBLE)) != 0 ||
		(plan_of_look.next != 0 && plan_of_look.next <= now);
	is_news |= (missed & WF_MISSED_NEWS) != 0;
	effects_mode = wf_effects_mode;
	if (!is_wanted)
		return;
	if (now >= allowed_at)
		look_and_plan(by);
	else
		put_off();
}

TimestampTz
wf_alerts_next(void)
{
	return plan_of_look.next;
}

TimestampTz
wf_alerts_news_until(void)
{
	return news_until;
}

void
wf_alerts_look(const WfDispatcher *by)
{
	static TimestampTz not_before = 0;
	TimestampTz began_at = GetCurrentTimestamp();
	TimestampTz ended_at;
	Look		found;
	WfFault		fault;

	if (began_at < not_before)
		return;
	(void) by->perform("looking for alerts", look, &found, &fault);
	ended_at = GetCurrentTimestamp();
	if (ended_at - began_at > DEAR_US)
		not_before = ended_at + (ended_at - began_at) * PAUSE_FACTOR;
}

PG_FUNCTION_INFO_V1(wf_inner_try_alert_turn);

/*
 * _try_alert_turn() returns boolean
 */
Datum
wf_inner_try_alert_turn(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wf_try_turn(WF_TURN_ALERTS, 0, 0));
}

PG_FUNCTION_INFO_V1(wf_watch);

/*
 * _watch(): a trigger after a change for the worse, or the better
 */
Datum
wf_watch(PG_FUNCTION_ARGS)
{
	wf_wake_watch_at_commit();

	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(wf_watch_by);

/*
 * _watch_by(at timestamptz): the present transaction stores what will be late then
 */
Datum
wf_watch_by(PG_FUNCTION_ARGS)
{
	wf_wake_watch_by_at_commit(PG_GETARG_TIMESTAMPTZ(0));

	PG_RETURN_VOID();
}
