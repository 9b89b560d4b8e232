/*
 * pace.c
 *	  How fast a queue moves: notes for its figures.
 *
 * How many jobs there are follows from the jobs themselves (follow.c);
 * what became of an attempt only who ends it knows.
 */
#include "postgres.h"

#include "base/clock.h"
#include "lane/lane.h"
#include "queue_internal.h"

static WfFigures
figures_of(const char *queue)
{
	return wf_figures_of(queue, strlen(queue));
}

void
wf_pace_stored(const char *queue, int64 count)
{
	wf_figure_note(figures_of(queue), WF_FIGURE_ENQUEUED, 0, count);
}

/*
 * Jobs of a lane are claimed; those of the table tell so themselves.
 */
void
wf_pace_started(const char *queue, TimestampTz claimed_at, const WfLaneJob *jobs, int count)
{
	WfFigures	figures = figures_of(queue);

	wf_figure_note(figures, WF_FIGURE_STARTED, 0, count);
	for (int i = 0; i < count; i++)
		wf_figure_note(figures, WF_FIGURE_WAIT, Max(claimed_at - jobs[i].stored_at, 0), 1);
}

/*
 * A job of the table that the present transaction had claimed has not started.
 */
void
wf_pace_put_back(const WfJob *job)
{
	WfFigures	figures = figures_of(job->queue);

	wf_figure_note(figures, WF_FIGURE_STARTED, 0, -1);
	wf_figure_note(figures, WF_FIGURE_WAIT, Max(job->claimed_at - job->run_at, 0), -1);
}

/*
 * So many jobs have succeeded, or attempts failed, now; claimed_at: 0 when it is
 * not known how long that took.
 */
void
wf_pace_ended(const char *queue, WfFigure event, TimestampTz claimed_at, TimestampTz now,
			  int64 count)
{
	WfFigures	figures = figures_of(queue);

	wf_figure_note(figures, event, 0, count);
	if (claimed_at != 0)
		wf_figure_note(figures, WF_FIGURE_RUN, Max(now - claimed_at, 0), count);
}
