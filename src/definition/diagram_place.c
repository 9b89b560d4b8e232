/*
 * diagram_place.c
 *	  Where the stops of each row stand: the method of Brandes and Köpf (2001).
 *
 * Each stop is put in line with the median of its neighbours in the row before,
 * unless that would cross the straight run of a long arrow.  What is in line
 * is a block; blocks are packed to one side.  That is done in four ways, from
 * above and from below, to the left and to the right, and the mean of the two
 * middle ones is taken.  Each of the four keeps the distances, so the mean does.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "definition/diagram.h"
#include "miscadmin.h"

#define BOX_GAP		26.0		/* between two boxes */

typedef struct Way
{
	WfLayout   *layout;
	bool		from_below;		/* whose neighbours it follows */
	bool		mirrored;		/* packed to the right */
	bool	   *refused;		/* links from above that nothing follows */
	int		   *link;			/* of each stop, its first one in refused */
	int		   *root;			/* of each stop's block */
	int		   *next;			/* in its block; the last leads to the root */
	double	   *x;
} Way;

static bool
is_passing(const WfStop *stop)
{
	return stop->box < 0;
}

/* --------------------------------------------------------------- conflicts */

static bool *
refusal_of(const Way *way, int upper, int lower)
{
	const WfStop *stop = &way->layout->stops[lower];

	for (int i = 0; i < stop->nabove; i++)
		if (stop->above[i] == upper)
			return &way->refused[way->link[lower] + i];
	elog(ERROR, "two stops of a diagram are not linked");
}

/*
 * Where the straight link of a long arrow that ends here begins, or -1.
 */
static int
straight_from(const WfLayout *layout, const WfStop *stop)
{
	if (!is_passing(stop) || !is_passing(&layout->stops[stop->above[0]]))
		return -1;

	return layout->stops[stop->above[0]].place;
}

/*
 * Refuses the links that cross a straight one between two rows.
 */
static void
refuse_crossing(Way *way, int lower_row)
{
	WfLayout   *layout = way->layout;
	WfRow	   *row = &layout->rows[lower_row];
	int			from = 0;
	int			done = 0;

	for (int i = 0; i < row->count; i++)
	{
		int			to = straight_from(layout, &layout->stops[row->stops[i]]);

		if (to < 0 && i < row->count - 1)
			continue;
		if (to < 0)
			to = layout->rows[lower_row - 1].count;
		for (; done <= i; done++)
		{
			WfStop	   *stop = &layout->stops[row->stops[done]];

			for (int k = 0; k < stop->nabove; k++)
			{
				WfStop	   *upper = &layout->stops[stop->above[k]];

				if ((upper->place < from || upper->place > to) &&
					!(is_passing(upper) && is_passing(stop)))
					way->refused[way->link[row->stops[done]] + k] = true;
			}
		}
		from = to;
	}
}

/* --------------------------------------------------------------- alignment */

/* The place of a stop, in the direction of packing. */
static int
place_in(const Way *way, int stop)
{
	const WfStop *s = &way->layout->stops[stop];

	return way->mirrored ? way->layout->rows[s->row].count - 1 - s->place : s->place;
}

static int
stop_at(const Way *way, const WfRow *row, int place)
{
	return row->stops[way->mirrored ? row->count - 1 - place : place];
}

static int
compare_places(const void *a, const void *b, void *arg)
{
	int			left = place_in(arg, *(const int *) a);
	int			right = place_in(arg, *(const int *) b);

	return left < right ? -1 : left > right;
}

/*
 * Puts a stop in line with a median neighbour, if one is still free.
 */
static void
align_stop(Way *way, int stop, int *neighbours, int *last)
{
	WfStop	   *s = &way->layout->stops[stop];
	int			count = way->from_below ? s->nbelow : s->nabove;

	memcpy(neighbours, way->from_below ? s->below : s->above, sizeof(int) * count);
	qsort_arg(neighbours, count, sizeof(int), compare_places, way);
	for (int i = (count - 1) / 2; count > 0 && i <= count / 2; i++)
	{
		int			other = neighbours[i];
		bool		refused = way->from_below ? *refusal_of(way, stop, other) : *refusal_of(way, other, stop);

		if (way->next[stop] != stop || refused || place_in(way, other) <= *last)
			continue;
		way->next[other] = stop;
		way->root[stop] = way->root[other];
		way->next[stop] = way->root[stop];
		*last = place_in(way, other);
	}
}

static void
align(Way *way)
{
	WfLayout   *layout = way->layout;
	int		   *neighbours = palloc(sizeof(int) * (layout->picture->narrows + 1));

	for (int i = 0; i < layout->nstops; i++)
		way->root[i] = way->next[i] = i;
	for (int i = 1; i < layout->nrows; i++)
	{
		WfRow	   *row = &layout->rows[way->from_below ? layout->nrows - 1 - i : i];
		int			last = -1;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < row->count; k++)
			align_stop(way, stop_at(way, row, k), neighbours, &last);
	}
	pfree(neighbours);
}

/* ----------------------------------------------------------------- packing */

static double
distance(const Way *way, int first, int second)
{
	WfStop	   *left = &way->layout->stops[way->mirrored ? second : first];
	WfStop	   *right = &way->layout->stops[way->mirrored ? first : second];
	double		gap = is_passing(left) || is_passing(right) ? WF_STOP_GAP : BOX_GAP;

	return left->right + gap + right->left;
}

/*
 * The blocks, each after all that stand before it in some row.
 */
static int
order_blocks(const Way *way, int *order)
{
	WfLayout   *layout = way->layout;
	int		   *waits = palloc0(sizeof(int) * (layout->nstops + 1));
	int			count = 0;

	for (int i = 0; i < layout->nstops; i++)
		if (place_in(way, i) > 0)
			waits[way->root[i]]++;
	for (int i = 0; i < layout->nstops; i++)
		if (way->root[i] == i && waits[i] == 0)
			order[count++] = i;
	for (int done = 0; done < count; done++)
	{
		int			stop = order[done];

		do
		{
			WfRow	   *row = &layout->rows[layout->stops[stop].row];
			int			place = place_in(way, stop) + 1;
			int			follower = place < row->count ? way->root[stop_at(way, row, place)] : -1;

			if (follower >= 0 && --waits[follower] == 0)
				order[count++] = follower;
			stop = way->next[stop];
		} while (stop != order[done]);
	}
	pfree(waits);

	return count;
}

/*
 * The least x of a block, as those before it allow (or the largest, as those
 * after it do).
 */
static double
limit_of(const Way *way, int block, bool by_followers)
{
	WfLayout   *layout = way->layout;
	double		limit = by_followers ? DBL_MAX : 0;
	int			stop = block;

	do
	{
		WfRow	   *row = &layout->rows[layout->stops[stop].row];
		int			place = place_in(way, stop) + (by_followers ? 1 : -1);

		if (place >= 0 && place < row->count)
		{
			int			other = stop_at(way, row, place);
			double		x = way->x[way->root[other]];

			if (by_followers)
				limit = Min(limit, x - distance(way, stop, other));
			else
				limit = Max(limit, x + distance(way, other, stop));
		}
		stop = way->next[stop];
	} while (stop != block);

	return limit;
}

/*
 * Packs the blocks, then draws each as near to its followers as it can be.
 */
static void
pack(Way *way)
{
	int			nstops = way->layout->nstops;
	int		   *order = palloc(sizeof(int) * (nstops + 1));
	int			count = order_blocks(way, order);

	for (int i = 0; i < count; i++)
		way->x[order[i]] = limit_of(way, order[i], false);
	for (int i = count - 1; i >= 0; i--)
	{
		double		limit = limit_of(way, order[i], true);

		if (limit != DBL_MAX)
			way->x[order[i]] = Max(way->x[order[i]], limit);
	}
	for (int i = 0; i < nstops; i++)
		way->x[i] = way->x[way->root[i]];
	if (way->mirrored)
		for (int i = 0; i < nstops; i++)
			way->x[i] = -way->x[i];
	pfree(order);
}

/* ----------------------------------------------------------------- balance */

static void
find_bounds(const Way *way, double *least, double *most)
{
	*least = DBL_MAX;
	*most = -DBL_MAX;
	for (int i = 0; i < way->layout->nstops; i++)
	{
		*least = Min(*least, way->x[i]);
		*most = Max(*most, way->x[i]);
	}
}

/*
 * Lays the four ways over the narrowest of them.
 */
static void
shift_ways(Way *ways)
{
	double		least[4];
	double		most[4];
	int			narrowest = 0;

	for (int i = 0; i < 4; i++)
	{
		find_bounds(&ways[i], &least[i], &most[i]);
		if (most[i] - least[i] < most[narrowest] - least[narrowest])
			narrowest = i;
	}
	for (int i = 0; i < 4; i++)
	{
		double		shift = ways[i].mirrored ? most[narrowest] - most[i] : least[narrowest] - least[i];

		for (int k = 0; k < ways[i].layout->nstops; k++)
			ways[i].x[k] += shift;
	}
}

static double
middle_of(double a, double b, double c, double d)
{
	double		least = Min(Min(a, b), Min(c, d));
	double		most = Max(Max(a, b), Max(c, d));

	return (a + b + c + d - least - most) / 2;
}

/*
 * Whole numbers keep the drawing the same on every machine; to round down
 * keeps the order, and extents are whole or leave room.
 */
static void
take_middle(WfLayout *layout, const Way *ways)
{
	double		least = 0;

	for (int i = 0; i < layout->nstops; i++)
	{
		WfStop	   *stop = &layout->stops[i];

		stop->x = middle_of(ways[0].x[i], ways[1].x[i], ways[2].x[i], ways[3].x[i]);
		least = i == 0 ? stop->x - stop->left : Min(least, stop->x - stop->left);
	}
	for (int i = 0; i < layout->nstops; i++)
	{
		WfStop	   *stop = &layout->stops[i];

		stop->x = floor(stop->x - least + WF_MARGIN);
		layout->width = Max(layout->width, ceil(stop->x + stop->right + WF_MARGIN));
	}
}

void
wf_layout_place(WfLayout *layout)
{
	int			links = 0;
	Way			ways[4];
	Way			first = {layout};

	first.link = palloc(sizeof(int) * (layout->nstops + 1));
	for (int i = 0; i < layout->nstops; i++)
	{
		first.link[i] = links;
		links += layout->stops[i].nabove;
	}
	first.refused = palloc0(sizeof(bool) * (links + 1));
	for (int i = 1; i < layout->nrows; i++)
		refuse_crossing(&first, i);

	first.root = palloc(sizeof(int) * (layout->nstops + 1));
	first.next = palloc(sizeof(int) * (layout->nstops + 1));
	for (int i = 0; i < 4; i++)
	{
		ways[i] = first;
		ways[i].from_below = i >= 2;
		ways[i].mirrored = i % 2 == 1;
		ways[i].x = palloc0(sizeof(double) * (layout->nstops + 1));
		align(&ways[i]);
		pack(&ways[i]);
	}
	shift_ways(ways);
	take_middle(layout, ways);
}
