/*
 * track.h
 *	  The marks of one track, in shared memory; for marks.c, which locks it.
 */
#ifndef WF_QUEUE_TRACK_H
#define WF_QUEUE_TRACK_H

#include "datatype/timestamp.h"
#include "marks.h"

#define EPOCHS 8

typedef struct Shelf
{
	int32		number;
	int64		from;
	int64		lowered[EPOCHS];	/* to where; WF_MARK_NONE */
} Shelf;

typedef struct Track
{
	uint64		generation;		/* 0: not in use */
	uint32		life;			/* how often it was given up */
	WfTrackKey	key;
	TimestampTz asked_at;
	bool		is_known;		/* the marks hold, and no shelf is missing */
	TimestampTz try_again_at;	/* while it is not */
	bool		has_groups;
	bool		is_lowered;		/* in the present epoch */
	uint64		epoch;
	TimestampTz epoch_began_at;
	int64		epoch_us;		/* a shorter one is not ended */
	int			n;
	Shelf		shelves[WF_MARK_SHELVES];
	bool		is_wide;		/* it had more shelves once; from then on: */
	Shelf		least;			/* the least number of a shelf that has a row,
								 * as a position */
} Track;

/* None of these allocates or raises. */
extern void wf_track_ask(Track *track, TimestampTz now, WfMarks *marks);
extern void wf_track_tell(Track *track, const WfMarks *marks);
extern void wf_track_put_off(Track *track);
extern void wf_track_lower(Track *track, const WfMarkNote *note);

#endif							/* WF_QUEUE_TRACK_H */
