/*
 * retention.c
 *	  Forgetting what is old, as the settings and the queues say; and adding up
 *	  what is counted one by one while it is young.
 *
 * A run forgets in batches, each a short transaction, and leaves the server
 * most of the time between two of them.  Between runs it is known when the
 * oldest that is left comes of age, or what finishes from now on would; until
 * then nothing is looked at.  Where whoever makes something tells this process
 * (base/wake.h), and nothing is left, nothing is looked at until then.  A run comes late by a part of the retention
 * rather than once for each row; so it does after one that left something
 * behind, which belongs to items under way or is held by somebody.
 */
#include "postgres.h"

#include "base/config.h"
#include "effect/effect.h"
#include "item/item.h"
#include "utils/timestamp.h"
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
	const char *doing;
	const int  *seconds;		/* the setting */
	uint64		(*purge) (TimestampTz *from, TimestampTz until, int most);
	TimestampTz (*due) (void);	/* of the oldest; 0: there is none */
	bool		is_told;		/* at the commit of what is to come of age */
	int			known_for;		/* the setting that next goes by */
	TimestampTz next;			/* 0: not known, or never */
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

static Retention retentions[] = {
	{"forgetting what effects carried", &wf_effect_retention_s, wf_effect_purge,
	effects_due, false, -1, 0, DT_NOBEGIN, false},
	{"forgetting what webhooks carried", &wf_webhook_retention_s, purge_webhooks,
	webhooks_due, false, -1, 0, DT_NOBEGIN, false},
	{"removing old dead letters", &dead_letter_retention_s, remove_dead_letters,
	wf_queue_next_expiry, false, -1, 0, DT_NOBEGIN, false},
	{"adding up decisions of gates", &wf_gate_interval_s, add_up_gates,
	gates_due, true, -1, 0, DT_NOBEGIN, false},
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
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = retention->due();
	TimestampTz of_next = retention->is_told ? 0 : after(now, *retention->seconds);

	retention->next = due == 0 || of_next == 0 ? Max(due, of_next) : Min(due, of_next);
	if (!is_first && retention->next != 0)
		retention->next = Max(retention->next, now + lateness_us(retention));
	retention->from = DT_NOBEGIN;
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
		else if (retention->is_told && retention->next == 0)
			plan_run(retention, true);
		if (retention->next != 0 && (next == 0 || retention->next < next))
			next = retention->next;
	}

	return next;
}
