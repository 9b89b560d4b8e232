/*
 * track.c
 *	  The marks of one track.
 *
 * Time, for a track, goes by in epochs.  What is lowered is kept for each of the
 * last few, so that who has asked in one of them and tells now is bounded by
 * all that was lowered since.  If there were more, what he tells is ignored,
 * and epochs last longer from then on.
 *
 * The least number of a track with too many shelves goes by the same rules, and is
 * kept on from then on, also while the shelves are known: nobody has to find it twice.
 */
#include "postgres.h"

#include "track.h"
#include "utils/timestamp.h"

/* A track with too many shelves is tried again after so long. */
#define TRY_AGAIN_US (10 * USECS_PER_SEC)

/* One whose marks cannot be raised as long as a transaction is prepared, too. */
#define LOOK_AGAIN_US (100 * INT64CONST(1000))

#define LONGEST_EPOCH_US USECS_PER_SEC

static Shelf *
find_shelf(Track *track, int32 number)
{
	for (int i = 0; i < track->n; i++)
		if (track->shelves[i].number == number)
			return &track->shelves[i];

	return NULL;
}

/*
 * Puts an empty shelf in its place among the others; one that has nothing on it
 * gives way.  NULL when all have something.
 */
static Shelf *
add_shelf(Track *track, int32 number)
{
	Shelf	   *shelves = track->shelves;
	int			at = track->n;

	if (track->n == WF_MARK_SHELVES)
	{
		for (at = 0; at < track->n && shelves[at].from != WF_MARK_NONE; at++)
			;
		if (at == track->n)
			return NULL;
		track->n--;
		memmove(&shelves[at], &shelves[at + 1], sizeof(Shelf) * (track->n - at));
	}
	for (at = track->n; at > 0 && shelves[at - 1].number > number; at--)
		shelves[at] = shelves[at - 1];
	shelves[at].number = number;
	shelves[at].from = WF_MARK_NONE;
	for (int i = 0; i < EPOCHS; i++)
		shelves[at].lowered[i] = WF_MARK_NONE;
	track->n++;

	return &shelves[at];
}

static void
keep_least(Track *track)
{
	track->is_wide = true;
	track->least.from = PG_INT64_MIN;
	for (int i = 0; i < EPOCHS; i++)
		track->least.lowered[i] = WF_MARK_NONE;
}

static void
lower_shelf(Shelf *shelf, uint64 epoch, int64 position)
{
	int64	   *lowered = &shelf->lowered[epoch % EPOCHS];

	*lowered = Min(*lowered, position);
	shelf->from = Min(shelf->from, position);
}

/*
 * There are more shelves than can be told apart; who has asked before tells in
 * vain.
 */
static void
give_up(Track *track)
{
	if (!track->is_wide)
		keep_least(track);
	track->life++;
	track->is_known = false;
	track->n = 0;
	track->try_again_at = GetCurrentTimestamp() + TRY_AGAIN_US;
}

/*
 * A row stands there from now on.
 */
void
wf_track_lower(Track *track, const WfMarkNote *note)
{
	Shelf	   *shelf = find_shelf(track, note->shelf);

	if (note->is_grouped)
		track->has_groups = true;
	track->is_lowered = true;
	if (track->is_wide)
		lower_shelf(&track->least, track->epoch, note->shelf);
	if (shelf == NULL && (shelf = add_shelf(track, note->shelf)) == NULL)
	{
		give_up(track);
		return;
	}
	lower_shelf(shelf, track->epoch, note->position);
}

static void
begin_epoch(Track *track, TimestampTz now)
{
	if (!track->is_lowered || now - track->epoch_began_at < track->epoch_us)
		return;
	track->epoch++;
	track->epoch_began_at = now;
	track->is_lowered = false;
	for (int i = 0; i < track->n; i++)
		track->shelves[i].lowered[track->epoch % EPOCHS] = WF_MARK_NONE;
	track->least.lowered[track->epoch % EPOCHS] = WF_MARK_NONE;
}

/*
 * Copies the marks for who asks.
 */
void
wf_track_ask(Track *track, TimestampTz now, WfMarks *marks)
{
	begin_epoch(track, now);
	marks->is_known = track->is_known;
	marks->has_groups = track->has_groups;
	marks->generation = track->generation;
	marks->life = track->life;
	marks->epoch = track->epoch;
	marks->is_worth_telling = track->try_again_at <= now;
	marks->n = track->is_known ? track->n : 0;
	for (int i = 0; i < marks->n; i++)
	{
		marks->shelves[i].number = track->shelves[i].number;
		marks->shelves[i].from = marks->shelves[i].found = track->shelves[i].from;
		marks->shelves[i].is_told = false;
	}
	marks->is_wide = track->is_wide;
	marks->least = track->least.from;
	marks->is_least_told = false;
}

static int64
lowered_since(const Track *track, const Shelf *shelf, uint64 epoch)
{
	int64		position = WF_MARK_NONE;

	for (; epoch <= track->epoch; epoch++)
		position = Min(position, shelf->lowered[epoch % EPOCHS]);

	return position;
}

static void
raise_mark(const Track *track, Shelf *shelf, int64 found, uint64 epoch)
{
	if (shelf != NULL)
		shelf->from = Max(shelf->from, Min(found, lowered_since(track, shelf, epoch)));
}

static void
raise_marks(Track *track, const WfMarks *marks)
{
	for (int i = 0; i < marks->n; i++)
	{
		const WfShelf *told = &marks->shelves[i];

		if (told->is_told)
			raise_mark(track, find_shelf(track, told->number), told->found, marks->epoch);
	}
}

/*
 * The first to tell all: what he has not found is not there, unless it came
 * meanwhile.
 */
static void
set_marks(Track *track, const WfMarks *marks)
{
	for (int i = 0; i < track->n; i++)
		track->shelves[i].from = lowered_since(track, &track->shelves[i], marks->epoch);
	for (int i = 0; i < marks->n; i++)
	{
		const WfShelf *told = &marks->shelves[i];
		Shelf	   *shelf = find_shelf(track, told->number);

		if (shelf == NULL && (shelf = add_shelf(track, told->number)) == NULL)
		{
			give_up(track);
			return;
		}
		shelf->from = Min(shelf->from, told->found);
	}
	track->has_groups |= marks->has_groups;
	track->is_known = true;
}

/*
 * Applies what was found by who asked in an earlier epoch.
 */
void
wf_track_tell(Track *track, const WfMarks *marks)
{
	if (track->generation != marks->generation ||
		(track->life != marks->life && !marks->is_least_told))
		return;
	if (track->epoch - marks->epoch >= EPOCHS)
	{
		track->epoch_us = Min(Max(2 * track->epoch_us, 1000), LONGEST_EPOCH_US);
		return;
	}
	if (marks->is_least_told)
		raise_mark(track, &track->least, marks->least, marks->epoch);
	else if (marks->n > WF_MARK_SHELVES)
		give_up(track);
	else if (track->is_known)
		raise_marks(track, marks);
	else if (!marks->is_known)
		set_marks(track, marks);
	if (track->epoch_us > 0)
		track->epoch_us -= Max(track->epoch_us / 64, 1);
}

/*
 * Nothing can be told now.
 */
void
wf_track_put_off(Track *track)
{
	track->try_again_at = GetCurrentTimestamp() + LOOK_AGAIN_US;
}
