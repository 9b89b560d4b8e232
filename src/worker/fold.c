/*
 * fold.c
 *	  Statistics of moves, brought up to date from time to time.
 *
 * As long as items move, once in five seconds; or more seldom, so that it takes
 * no more than a twentieth of the time.  A process begins with it: who only has
 * its turn now and then may not live for so long.
 */
#include "postgres.h"

#include "statistics/statistics.h"
#include "utils/timestamp.h"
#include "worker/fold.h"
#include "worker/round.h"

#define PAUSE_FACTOR 20

/* After a failure. */
#define AGAIN_US (60 * USECS_PER_SEC)

static bool has_begun = false;
static TimestampTz due = 0;
static TimestampTz not_before = 0;

TimestampTz
wf_fold_next(void)
{
	due = wf_statistics_next_fold();
	if (due != 0)
		due = Max(due, not_before);

	return due;
}

void
wf_fold_step(void *argument)
{
	(void) wf_statistics_fold();
}

void
wf_fold_run(void)
{
	TimestampTz began_at = GetCurrentTimestamp();
	TimestampTz ended_at;
	WfFault		fault;

	if (has_begun && (due == 0 || due > began_at))
		return;
	has_begun = true;
	due = 0;
	if (!wf_round_run("folding statistics", wf_fold_step, NULL, &fault))
	{
		not_before = GetCurrentTimestamp() + AGAIN_US;
		return;
	}
	ended_at = GetCurrentTimestamp();
	not_before = ended_at + (ended_at - began_at) * PAUSE_FACTOR;
}
