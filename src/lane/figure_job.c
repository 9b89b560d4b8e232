/*
 * figure_job.c
 *	  Noting for the figures what happens to a job of the table.
 */
#include "postgres.h"

#include "figure_internal.h"

static WfFigures
figures_of(const WfFigureJob *job)
{
	return wf_figures_of(job->place, strlen(job->place));
}

static void
count(WfFigures figures, const WfFigureJob *job, int64 by)
{
	wf_figure_note(figures, job->status, job->status == WF_FIGURE_READY ? job->run_at : 0, by);
}

static void
count_start(WfFigures figures, const WfFigureJob *running, TimestampTz run_at)
{
	if (running->claimed_at == 0)
		return;
	wf_figure_note(figures, WF_FIGURE_STARTED, 0, 1);
	wf_figure_note(figures, WF_FIGURE_WAIT, Max(running->claimed_at - run_at, 0), 1);
}

static void
count_change(const WfFigureJob *before, const WfFigureJob *after)
{
	bool		is_moved = strcmp(before->place, after->place) != 0;
	WfFigures	figures;

	if (!is_moved && before->status == after->status &&
		(after->status != WF_FIGURE_READY || before->run_at == after->run_at))
		return;
	figures = figures_of(after);
	count(is_moved ? figures_of(before) : figures, before, -1);
	count(figures, after, 1);
	if (before->status == WF_FIGURE_READY && after->status == WF_FIGURE_RUNNING)
		count_start(figures, after, before->run_at);
}

void
wf_figures_note_job(const WfFigureJob *before, const WfFigureJob *after)
{
	if (before != NULL && after != NULL)
		count_change(before, after);
	else if (before != NULL)
		count(figures_of(before), before, -1);
	else
	{
		WfFigures	figures = figures_of(after);

		count(figures, after, 1);
		wf_figure_note(figures, WF_FIGURE_ENQUEUED, 0, 1);
	}
}
