/*
 * point.h
 *	  Labelled points: places in the code where a test may stop a process.
 *
 * What happens when a process ends is decided by where it ends.  Each place
 * between two steps of an effect's life that a crash can tell apart has a label
 * here; test/t/044_crash_matrix.pl ends processes at every one of them and
 * fails where one is listed that it does not know or never reaches.
 *
 * A point does nothing until a library that was loaded into the server says
 * what to do there, by the rendezvous variable below.  The tests have such a
 * library, test/points.c; nobody else has, and no setting and no function leads
 * to a point.
 */
#ifndef WF_BASE_POINT_H
#define WF_BASE_POINT_H

#define WF_POINTS(POINT) \
	POINT(claim_begun)			/* a transaction that claims calls is open */ \
	POINT(jobs_claimed)			/* their jobs are claimed */ \
	POINT(effects_marked)		/* their effects are "sending": not committed */ \
	POINT(intent_flushed)		/* the same, committed and flushed */ \
	POINT(call_started)			/* one more call is given to the client */ \
	POINT(calls_pumped)			/* the client has read and written what it could */ \
	POINT(answer_collected)		/* one more answer is in memory */ \
	POINT(record_begun)			/* a transaction that records is open */ \
	POINT(effects_settled)		/* effects are settled, their attempts not yet rows */ \
	POINT(record_written)		/* all is written: not committed */ \
	POINT(record_flushed)		/* the same, committed and flushed */ \
	POINT(tell_begun)			/* a transaction that tells jobs is open */ \
	POINT(jobs_finished)		/* those that stand alone are told */ \
	POINT(job_told)				/* one more is told, and its item has moved */ \
	POINT(tell_committed)		/* the same, committed */ \
	POINT(worker_ending)		/* an http worker was asked to end */ \
	POINT(reclaim_begun)		/* a transaction that looks for the lost is open */ \
	POINT(lost_settled)			/* what vanished senders left is settled */ \
	POINT(lost_committed)		/* the same, committed */ \
	POINT(lost_told)			/* their jobs are told: not committed */ \
	POINT(reclaim_committed)	/* the same, committed */

typedef struct WfPointPlugin
{
	void		(*reached) (const char *label);
} WfPointPlugin;

#define WF_POINT_VARIABLE "pg_workflow points"

#define WF_POINT_ENUMERATOR(label) WF_POINT_##label,
typedef enum WfPoint
{
	WF_POINTS(WF_POINT_ENUMERATOR)
} WfPoint;

extern WfPointPlugin **wf_point_plugin;

extern void wf_point_init(void);
extern void wf_point_reached(WfPoint point);

#define WF_POINT(label) \
	do { \
		if (unlikely(*wf_point_plugin != NULL)) \
			wf_point_reached(WF_POINT_##label); \
	} while (0)

#endif							/* WF_BASE_POINT_H */
