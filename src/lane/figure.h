/*
 * figure.h
 *	  What stands in each queue and how fast it moves, counted as it changes.
 *
 * Where the library is preloaded, shared memory has a page of figures for each
 * queue.  A transaction notes what it changes and adds it when it has
 * committed; who reads the figures looks at no job.
 */
#ifndef WF_LANE_FIGURE_H
#define WF_LANE_FIGURE_H

#include "datatype/timestamp.h"

typedef enum WfFigure
{
	/* how many there are, in the table of jobs */
	WF_FIGURE_READY,			/* at: its run_at */
	WF_FIGURE_RUNNING,
	WF_FIGURE_WAITING,
	WF_FIGURE_DEAD,

	/* how many there were lately, in the table and in lanes */
	WF_FIGURE_ENQUEUED,
	WF_FIGURE_STARTED,
	WF_FIGURE_FINISHED,
	WF_FIGURE_FAILED,

	/* how long it took, in microseconds */
	WF_FIGURE_WAIT,				/* at: from when it could start until it did */
	WF_FIGURE_RUN,				/* at: an attempt */

	/* the queue is gone: what happened lately is not of the next one */
	WF_FIGURE_FORGET,
} WfFigure;

/* The figures of a queue: a page of the arena; 0: none are kept. */
typedef uint32 WfFigures;

/* Whether figures are kept at all. */
extern bool wf_figures_are_kept(void);

extern WfFigures wf_figures_of(const char *queue, int length);

/* Notes a change of the present transaction; none where figures is 0. */
extern void wf_figure_note(WfFigures figures, WfFigure figure, int64 at, int64 by);

/*
 * At commit, nothing has happened in a queue lately; its page is free for another
 * one until somebody asks for it.
 */
extern void wf_figures_forget(const char *queue, int length);

/* What the figures want to know of a job of the table. */
typedef struct WfFigureJob
{
	const char *place;			/* queue that it is counted in */
	WfFigure	status;
	TimestampTz run_at;
	TimestampTz claimed_at;		/* 0: null */
} WfFigureJob;

/* What the column "status" of a job of the table says. */
extern WfFigure wf_figure_of(const char *status);

/* Notes what a job was and what it is; NULL: it was not there, or is gone. */
extern void wf_figures_note_job(const WfFigureJob *before, const WfFigureJob *after);

/*
 * How many jobs of the table a queue has that are ready or delayed, as the
 * present transaction will leave them; -1: nobody knows without a count.
 */
extern int64 wf_figure_ready(const char *queue);

/*
 * Counts all jobs, if nobody knows how many there are.  Called within SPI, as
 * the owner of the extension.
 */
extern void wf_figures_learn(void);

/* The present transaction has changed jobs and cannot say how. */
extern void wf_figures_lose(void);

/* Called when the library is loaded. */
extern void wf_figures_init(void);

#endif							/* WF_LANE_FIGURE_H */
