/*
 * figure_page.c
 *	  The arithmetic of a page of figures.
 *
 * Ready jobs are counted by the second in which each is due.  A job is always
 * counted out of the span in which it was counted in: spans do not overlap, are
 * put together only with their neighbours, and take whole seconds.  So their sum
 * is exact; what is ready of a span that lies on both sides of now, and how old
 * the first of a wide one is, is known as well as the span is narrow.  Neighbours
 * far from now are put together first.
 *
 * Changes may come in another order than that of the commits, by a moment: a
 * count can be below zero, and one that is zero may be the sum of a job and of
 * another that is counted out before it is counted in.  So a span without jobs
 * stays until it is quiet.
 */
#include "postgres.h"

#include <math.h>

#include "figure_internal.h"
#include "port/pg_bitutils.h"

/* Far and near, for the putting together: within a minute all is near. */
#define NEAR_US (60.0 * USECS_PER_SEC)

/* The first bin takes what is shorter than 2^8 us; each next a quarter octave. */
#define FIRST_BIT 8

static int64
floor_to(int64 value, int64 unit)
{
	return value / unit - (value % unit < 0 ? 1 : 0);
}

static int64
second_of(TimestampTz time)
{
	return floor_to(time, USECS_PER_SEC);
}

/*
 * Forgets how many jobs there are, not what happened lately.
 */
void
wf_figure_page_empty(WfFigurePage *page)
{
	memset(page->count, 0, sizeof(page->count));
	page->n_spans = 0;
	page->merges = 0;
}

/*
 * Forgets what happened lately, not how many jobs there are.
 */
void
wf_figure_page_forget(WfFigurePage *page)
{
	page->event_slot = page->window = 0;
	memset(page->events, 0, sizeof(page->events));
	memset(page->bins, 0, sizeof(page->bins));
}

/*
 * Whether it says that there are no jobs.
 */
bool
wf_figure_page_is_empty(const WfFigurePage *page)
{
	for (int i = 0; i <= WF_FIGURE_DEAD; i++)
		if (page->count[i] != 0)
			return false;
	for (int i = 0; i < page->n_spans; i++)
		if (page->spans[i].count != 0)
			return false;

	return true;
}

/*
 * The span that a time belongs to; or else, with *found false, the place for a
 * new one.
 */
static int
find_span(const WfFigurePage *page, TimestampTz time, bool *found)
{
	int64		second = second_of(time);
	int			from = 0;
	int			until = page->n_spans;

	while (from < until)
	{
		int			middle = (from + until) / 2;

		if (second_of(page->spans[middle].last) < second)
			from = middle + 1;
		else
			until = middle;
	}
	*found = from < page->n_spans && second_of(page->spans[from].first) <= second;

	return from;
}

static void
remove_span(WfFigurePage *page, int i)
{
	page->n_spans--;
	memmove(&page->spans[i], &page->spans[i + 1], sizeof(WfSpan) * (page->n_spans - i));
}

static bool
is_over(const WfSpan *span, TimestampTz now)
{
	return span->count == 0 && span->changed_at < now - WF_QUIET_US;
}

/*
 * Puts together the two neighbours of which that says the least untrue things.
 */
static void
merge_spans(WfFigurePage *page, TimestampTz now)
{
	int			best = 0;
	double		least = INFINITY;
	WfSpan	   *span;

	for (int i = 0; i + 1 < page->n_spans; i++)
	{
		double		first = (double) page->spans[i].first - (double) now;
		double		last = (double) page->spans[i + 1].last - (double) now;
		double		distance = first <= 0 && last >= 0 ? 0 : Min(fabs(first), fabs(last));
		double		cost = (last - first) / (distance + NEAR_US);

		if (cost < least)
		{
			least = cost;
			best = i;
		}
	}
	span = &page->spans[best];
	span->last = span[1].last;
	span->count += span[1].count;
	span->changed_at = Max(span->changed_at, span[1].changed_at);
	remove_span(page, best + 1);
	page->merges++;
}

static void
make_room(WfFigurePage *page, TimestampTz now)
{
	for (int i = page->n_spans - 1; i >= 0; i--)
		if (is_over(&page->spans[i], now))
			remove_span(page, i);
	if (page->n_spans == WF_SPANS)
		merge_spans(page, now);
}

/*
 * Adds jobs; those of a span that is wider than a second come behind all others.
 */
void
wf_figure_page_add_span(WfFigurePage *page, const WfSpan *new_span)
{
	TimestampTz now = new_span->changed_at;
	bool		found;
	int			i = find_span(page, new_span->first, &found);
	WfSpan	   *span;

	while (!found && page->n_spans == WF_SPANS)
	{
		make_room(page, now);
		i = find_span(page, new_span->first, &found);
	}
	span = &page->spans[i];
	if (!found)
	{
		memmove(span + 1, span, sizeof(WfSpan) * (page->n_spans - i));
		page->n_spans++;
	}
	if (!found || is_over(span, now))
	{
		*span = *new_span;
		return;
	}
	span->first = Min(span->first, new_span->first);
	span->last = Max(span->last, new_span->last);
	span->count += new_span->count;
	span->changed_at = now;
}

/*
 * Empties the slots for events between the latest and now.
 */
static void
turn_events(WfFigurePage *page, TimestampTz now)
{
	int64		slot = floor_to(now, WF_SLOT_US);

	if (slot - page->event_slot >= WF_EVENT_SLOTS)
		page->event_slot = slot - WF_EVENT_SLOTS;
	while (page->event_slot < slot)
		memset(page->events[++page->event_slot % WF_EVENT_SLOTS], 0, sizeof(page->events[0]));
}

static void
turn_windows(WfFigurePage *page, TimestampTz now)
{
	int64		window = floor_to(now, WF_WINDOW_US);

	if (window - page->window >= WF_WINDOWS)
		page->window = window - WF_WINDOWS;
	while (page->window < window)
		memset(page->bins[++page->window % WF_WINDOWS], 0, sizeof(page->bins[0]));
}

/*
 * The bin of a duration: bins grow with what is in them.
 */
int64
wf_figure_bin(int64 duration_us)
{
	int			bit;

	if (duration_us < (1 << FIRST_BIT))
		return 0;
	bit = pg_leftmost_one_pos64(duration_us);

	return Min(WF_BINS - 1, (bit - FIRST_BIT) * 4 + ((duration_us >> (bit - 2)) & 3) + 1);
}

static double
bin_start(int bin)
{
	int			bit = FIRST_BIT + (bin - 1) / 4;

	return bin == 0 ? 0 : (double) ((INT64CONST(4) + (bin - 1) % 4) << (bit - 2));
}

/*
 * Adds a change; the caller holds the lock of the page.
 */
void
wf_figure_page_add(WfFigurePage *page, WfFigure figure, int64 at, int64 by, TimestampTz now)
{
	if (figure == WF_FIGURE_READY)
	{
		WfSpan		span = {at, at, by, now};

		wf_figure_page_add_span(page, &span);
	}
	else if (figure <= WF_FIGURE_DEAD)
		page->count[figure] += by;
	else if (figure <= WF_FIGURE_FAILED)
	{
		turn_events(page, now);
		page->events[page->event_slot % WF_EVENT_SLOTS][figure - WF_FIGURE_ENQUEUED] += by;
	}
	else
	{
		turn_windows(page, now);
		page->bins[page->window % WF_WINDOWS][figure - WF_FIGURE_WAIT][at] += by;
	}
}

/* ------------------------------------------------------------------- reading */

/*
 * How many of a span are due.
 */
static int64
due_of(const WfSpan *span, TimestampTz now)
{
	if (span->first > now)
		return 0;
	if (span->last <= now)
		return span->count;

	return (int64) rint((double) span->count * ((double) now - (double) span->first) /
						((double) span->last - (double) span->first));
}

/*
 * Whether no jobs are missing that a moment would bring.
 */
bool
wf_figure_page_is_sound(const WfFigurePage *page, TimestampTz now)
{
	for (int i = 0; i < page->n_spans; i++)
		if (page->spans[i].count < 0 && page->spans[i].changed_at < now - WF_QUIET_US)
			return false;

	return true;
}

/*
 * How many jobs are ready or delayed.
 */
int64
wf_figure_page_not_begun(const WfFigurePage *page)
{
	int64		sum = 0;

	for (int i = 0; i < page->n_spans; i++)
		sum += page->spans[i].count;

	return Max(sum, 0);
}

/*
 * oldest: DT_NOEND when none is ready.
 */
void
wf_figure_page_ready(const WfFigurePage *page, TimestampTz now, int64 *ready, int64 *delayed,
					 TimestampTz *oldest)
{
	*ready = *delayed = 0;
	*oldest = DT_NOEND;
	for (int i = 0; i < page->n_spans; i++)
	{
		const WfSpan *span = &page->spans[i];
		int64		due = due_of(span, now);

		*ready += due;
		*delayed += span->count - due;
		if (due > 0 && TIMESTAMP_IS_NOEND(*oldest))
			*oldest = span->first;
	}
	*ready = Max(*ready, 0);
	*delayed = Max(*delayed, 0);
}

/*
 * How many events there were in the last so many seconds, or a little more, and
 * how many that is a second.
 */
int64
wf_figure_page_events(const WfFigurePage *page, WfFigure event, TimestampTz now, int seconds,
					  double *rate)
{
	int64		present = floor_to(now, WF_SLOT_US);
	int64		first = present - seconds * USECS_PER_SEC / WF_SLOT_US;
	int64		sum = 0;

	first = Max(first, page->event_slot - WF_EVENT_SLOTS + 1);
	for (int64 slot = first; slot <= page->event_slot; slot++)
		sum += (int32) page->events[slot % WF_EVENT_SLOTS][event - WF_FIGURE_ENQUEUED];
	sum = Max(sum, 0);
	*rate = (double) sum / (seconds + (double) (now - present * WF_SLOT_US) / USECS_PER_SEC);

	return sum;
}

/*
 * The duration, in microseconds, that a part of those of the last ten to fifteen
 * minutes did not exceed; -1 when there were none.
 */
int64
wf_figure_page_percentile(const WfFigurePage *page, WfFigure duration, TimestampTz now,
						  double part)
{
	int64		bins[WF_BINS] = {0};
	int64		total = 0;
	double		wanted;
	int			bin;

	for (int64 window = Max(floor_to(now, WF_WINDOW_US), page->window) - WF_WINDOWS + 1;
		 window <= page->window; window++)
		for (int i = 0; i < WF_BINS; i++)
		{
			int32		count = page->bins[window % WF_WINDOWS][duration - WF_FIGURE_WAIT][i];

			bins[i] += Max(count, 0);
			total += Max(count, 0);
		}
	if (total == 0)
		return -1;
	wanted = part * total;
	for (bin = 0; bin < WF_BINS - 1 && bins[bin] < wanted; bin++)
		wanted -= bins[bin];
	if (bin == WF_BINS - 1)
		return (int64) bin_start(bin);

	return (int64) (bin_start(bin) + (bin_start(bin + 1) - bin_start(bin)) * wanted / Max(bins[bin], 1));
}
