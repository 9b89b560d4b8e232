/*
 * retention.c
 *	  Forgetting what is old, as the settings and the queues say; and adding up
 *	  what is counted one by one while it is young.
 *
 * A run forgets in batches, each a short transaction, and leaves the server
 * most of the time between two of them.  Between runs it is known when the
 * oldest that is left comes of age; until then nothing is looked at.  Where nothing
 * is left, nothing is looked at until there is something again: whoever makes it
 * tells this process (base/wake.h).  A run comes late by a part of the retention
 * rather than once for each row; so it does after one that left something
 * behind, which belongs to items under way or is held by somebody.
 */
#include "postgres.h"

#include "base/config.h"
#include "base/wake.h"
#include "commands/trigger.h"
#include "effect/effect.h"
#include "item/item.h"
#include "utils/timestamp.h"
#include "worker/redrive.h"
#include "worker/retention.h"

#define BATCH 500

/* Of the time, a run works a quarter. */
#define PAUSE_FACTOR 3

#define LATE_PART 24			/* of the retention */
#define LEAST_LATE_US USECS_PER_SEC
#define MOST_LATE_US USECS_PER_DAY

/* After a failure. */
#define AGAIN_US (60 * USECS_PER_SEC)

typedef struct Retention
{
	const char *name;			/* in the triggers that tell of it */
	const char *doing;
	const int  *seconds;		/* the setting */
	uint64		(*purge) (TimestampTz *from, TimestampTz until, int most);
	TimestampTz (*due) (void);	/* of the oldest; 0: there is none */
	WfAging		what;			/* this process is told of it */
	int			known_for;		/* the setting that next goes by; -1: none */
	uint64		told;			/* how often it was told when it looked last */
	TimestampTz planned_at;		/* when it looked last */
	TimestampTz next;			/* 0: there is nothing */
	TimestampTz from;			/* where the run has got to */
	bool		is_over;		/* of the run */
} Retention;

static uint64
purge_webhooks(TimestampTz *from, TimestampTz until, int most)
{
	return wf_inbox_purge(until, most);
}

static TimestampTz
after(TimestampTz oldest, int seconds)
{
	return oldest == 0 ? 0 : oldest + seconds * USECS_PER_SEC;
}

static TimestampTz
effects_due(void)
{
	return after(wf_effect_oldest_body(), wf_effect_retention_s);
}

static TimestampTz
webhooks_due(void)
{
	return after(wf_inbox_oldest_body(), wf_webhook_retention_s);
}

/* Of the queue that keeps its dead letters for the shortest time. */
static int	dead_letter_retention_s = -1;

static uint64
remove_dead_letters(TimestampTz *from, TimestampTz until, int most)
{
	return wf_queue_expire(most);
}

static uint64
add_up_gates(TimestampTz *from, TimestampTz until, int most)
{
	return wf_gate_add_up(until, most);
}

static TimestampTz
gates_due(void)
{
	return after(wf_gate_oldest_change(), wf_gate_interval_s);
}

static uint64
remove_redrives(TimestampTz *from, TimestampTz until, int most)
{
	return wf_redrive_purge(until, most);
}

static TimestampTz
redrives_due(void)
{
	return after(wf_redrive_oldest_end(), wf_redrive_retention_s);
}

static Retention retentions[] = {
	{"effect", "forgetting what effects carried", &wf_effect_retention_s, wf_effect_purge,
	effects_due, WF_AGING_EFFECT, -1, 0, 0, 0, DT_NOBEGIN, false},
	{"webhook", "forgetting what webhooks carried", &wf_webhook_retention_s, purge_webhooks,
	webhooks_due, WF_AGING_WEBHOOK, -1, 0, 0, 0, DT_NOBEGIN, false},
	{"dead_letter", "removing old dead letters", &dead_letter_retention_s, remove_dead_letters,
	wf_queue_next_expiry, WF_AGING_DEAD_LETTER, -1, 0, 0, 0, DT_NOBEGIN, false},
	{"gate", "adding up decisions of gates", &wf_gate_interval_s, add_up_gates,
	gates_due, WF_AGING_GATE, -1, 0, 0, 0, DT_NOBEGIN, false},
	{"redrive", "removing old redrives", &wf_redrive_retention_s, remove_redrives,
	redrives_due, WF_AGING_REDRIVE, -1, 0, 0, 0, DT_NOBEGIN, false},
};

static int64
lateness_us(const Retention *retention)
{
	int64		part = *retention->seconds * USECS_PER_SEC / LATE_PART;

	return Min(MOST_LATE_US, Max(LEAST_LATE_US, part));
}

/*
 * Sets when the next run begins; is_first: there was none yet for the setting.
 */
static void
plan_run(Retention *retention, bool is_first)
{
	retention->told = wf_wake_aging_count(retention->what);
	retention->planned_at = GetCurrentTimestamp();
	retention->next = retention->due();
	if (!is_first && retention->next != 0)
		retention->next = Max(retention->next, retention->planned_at + lateness_us(retention));
	retention->from = DT_NOBEGIN;
}

/*
 * What was told since may come of age before what is known; that is looked for
 * once in as long as a run may be late.
 */
static void
heed(Retention *retention)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz again_at = retention->planned_at + lateness_us(retention);

	if (retention->known_for < 0 || retention->told == wf_wake_aging_count(retention->what) ||
		(retention->next != 0 && retention->next <= Max(now, again_at)))
		return;
	if (again_at <= now)
		plan_run(retention, true);
	else
		retention->next = again_at;
}

static void
purge_batch(void *argument)
{
	Retention  *retention = argument;
	TimestampTz until = GetCurrentTimestamp() - *retention->seconds * USECS_PER_SEC;

	retention->is_over = retention->purge(&retention->from, until, BATCH) < BATCH;
	if (retention->is_over)
		plan_run(retention, false);
}

static void
run(Retention *retention)
{
	TimestampTz began_at = GetCurrentTimestamp();
	TimestampTz ended_at;
	WfFault		fault;
	bool		ok = wf_round_run(retention->doing, purge_batch, retention, &fault);

	ended_at = GetCurrentTimestamp();
	if (!ok)
		retention->next = ended_at + AGAIN_US;
	else if (!retention->is_over)
		retention->next = ended_at + (ended_at - began_at) * PAUSE_FACTOR;
}

void
wf_retention_run(void)
{
	for (int i = 0; i < lengthof(retentions); i++)
	{
		Retention  *retention = &retentions[i];

		if (*retention->seconds == retention->known_for && retention->next != 0 &&
			retention->next <= GetCurrentTimestamp())
			run(retention);
	}
}

TimestampTz
wf_retention_next(void)
{
	TimestampTz next = 0;

	dead_letter_retention_s = wf_queue_shortest_retention_s();
	for (int i = 0; i < lengthof(retentions); i++)
	{
		Retention  *retention = &retentions[i];

		if (*retention->seconds != retention->known_for)
		{
			retention->next = 0;
			if (*retention->seconds >= 0)
				plan_run(retention, true);
			retention->known_for = *retention->seconds;
		}
		else
			heed(retention);
		if (retention->next != 0 && (next == 0 || retention->next < next))
			next = retention->next;
	}

	return next;
}

PG_FUNCTION_INFO_V1(wf_inner_aging);

/*
 * _aging(name): a trigger after statements that may make something that is to be
 * forgotten when it is old enough.  What the queues say of dead letters is known
 * to the maintenance worker only.
 */
Datum
wf_inner_aging(PG_FUNCTION_ARGS)
{
	const char *name;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger")));
	name = ((TriggerData *) fcinfo->context)->tg_trigger->tgargs[0];
	for (int i = 0; i < lengthof(retentions); i++)
	{
		int			seconds = retentions[i].what == WF_AGING_DEAD_LETTER ? 0 : *retentions[i].seconds;

		if (strcmp(retentions[i].name, name) == 0 && seconds >= 0)
			wf_wake_aging_at_commit(retentions[i].what, after(GetCurrentTimestamp(), seconds));
	}

	return PointerGetDatum(NULL);
}
