/*
 * ahead.c
 *	  Looking at what comes next.
 *
 * All looks are one transaction.  When that fails each is one by itself, as long as
 * one of them does: what the others know is known all the same.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item.h"
#include "utils/timestamp.h"
#include "worker/ahead.h"
#include "worker/calls.h"
#include "worker/fold.h"
#include "worker/parts.h"
#include "worker/redrive.h"
#include "worker/retention.h"
#include "worker/tell.h"

static WfPlan next_check_plan = {
	.name = "next effect check",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
	.sql = "SELECT workflow._next_effect_check($1)",
};

static TimestampTz
next_sql(void)
{
	return wf_queue_next_due("sql");
}

static TimestampTz
next_effect_check(void)
{
	Datum		now = TimestampTzGetDatum(wf_now());
	bool		isnull;
	Datum		value;

	wf_plan_execute(&next_check_plan, &now, NULL);
	value = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

typedef struct Look
{
	WfPart		part;
	const char *doing;
	TimestampTz (*next) (void);
	WfPart		by;				/* which part does what is due; it may pause */
} Look;

/* The first two are of those whom workers are started for. */
static const Look looks[] = {
	{WF_PART_NEXT_SQL, "looking for the next sql activity", next_sql, WF_PART_NONE},
	{WF_PART_NEXT_HTTP, "looking for the next call", wf_calls_next_job, WF_PART_NONE},
	{WF_PART_NEXT_TIMER, "looking for the next timer", wf_item_next_timer, WF_PART_TIMERS},
	{WF_PART_NEXT_LEASE, "looking for the end of a lease", wf_queue_next_lease_end, WF_PART_LOST_JOBS},
	{WF_PART_NEXT_CHECK, "looking for the next check of an effect", next_effect_check, WF_PART_LOST_SENDERS},
	{WF_PART_NEXT_TOLD, "looking for the next job to tell", wf_tell_next, WF_PART_UNTOLD},
	{WF_PART_NEXT_RETENTION, "looking for what comes of age", wf_retention_next, WF_PART_NONE},
	{WF_PART_NEXT_FOLD, "looking at statistics", wf_fold_next, WF_PART_NONE},
	{WF_PART_NEXT_TIDY, "tidying queues up", wf_queue_tidy, WF_PART_NONE},
	{WF_PART_NEXT_REDRIVE, "looking for the next redrive", wf_redrive_next, WF_PART_REDRIVES},
};

static TimestampTz found[lengthof(looks)];

static void
look_at_one(void *argument)
{
	int			i = *(int *) argument;

	found[i] = looks[i].next();
}

static void
look_at_all(void *argument)
{
	for (int i = 0; i < lengthof(looks); i++)
		found[i] = looks[i].next();
}

/*
 * What one finds out is as old as its pause; what failed knows of nothing.
 */
static void
look_alone(int i)
{
	WfFault		fault;
	bool		ok;

	if (!wf_part_may_run(looks[i].part))
		return;
	ok = wf_round_run(looks[i].doing, look_at_one, &i, &fault);
	if (!ok)
		found[i] = 0;
	(void) wf_part_ended(looks[i].part, ok ? 0 : -1);
}

static bool
is_any_failing(void)
{
	for (int i = 0; i < lengthof(looks); i++)
		if (wf_part_again(looks[i].part) != 0)
			return true;

	return false;
}

void
wf_ahead_look(WfAhead *ahead)
{
	WfFault		fault;

	if (is_any_failing() || !wf_round_run("looking for what is due", look_at_all, NULL, &fault))
		for (int i = 0; i < lengthof(looks); i++)
			look_alone(i);
	ahead->sql_due = found[0];
	ahead->http_due = found[1];
	ahead->next_due = 0;
	for (int i = 2; i < lengthof(looks); i++)
		if (found[i] != 0)
			ahead->next_due = wf_earlier(ahead->next_due, Max(found[i], wf_part_again(looks[i].by)));
}
