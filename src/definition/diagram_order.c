/*
 * diagram_order.c
 *	  The order of the stops in each row, so that few arrows cross.
 *
 * Rows are swept downward and upward in turn: each is sorted by the mean place
 * of the neighbours in the row before (the barycentre), and neighbours change
 * places where that saves crossings.  The best order that was seen is kept.
 */
#include "postgres.h"

#include "definition/diagram.h"
#include "miscadmin.h"

#define SWEEPS			24
#define SWEPT_STOPS		1000000 /* in all sweeps together */
#define PATIENCE		6		/* sweeps without a better order */

/* Swapping looks at pairs of links: only where there are not too many. */
#define SWAP_LINKS		24
#define SWAP_STOPS		4000

typedef struct Sortable
{
	int			stop;
	int			place;
	double		mean;
} Sortable;

static void
put(WfLayout *layout, int stop)
{
	WfRow	   *row = &layout->rows[layout->stops[stop].row];

	layout->stops[stop].place = row->count;
	row->stops[row->count++] = stop;
}

/*
 * A first order: as a walk downward from the boxes meets the stops.
 */
static void
order_as_met(WfLayout *layout)
{
	bool	   *met = palloc0(sizeof(bool) * (layout->nstops + 1));
	int		   *way = palloc(sizeof(int) * (layout->nstops + 1));
	int		   *next = palloc0(sizeof(int) * (layout->nstops + 1));
	int			nboxes = layout->picture->nboxes;

	for (int i = -1; i < nboxes; i++)
	{
		int			box = i < 0 ? layout->picture->initial : i;
		int			depth = 0;

		if (box < 0 || met[layout->picture->boxes[box].stop])
			continue;
		way[depth++] = layout->picture->boxes[box].stop;
		met[way[0]] = true;
		put(layout, way[0]);
		while (depth > 0)
		{
			WfStop	   *stop = &layout->stops[way[depth - 1]];
			int			below;

			if (next[way[depth - 1]] == stop->nbelow)
			{
				depth--;
				continue;
			}
			below = stop->below[next[way[depth - 1]]++];
			if (met[below])
				continue;
			met[below] = true;
			put(layout, below);
			way[depth++] = below;
		}
	}
}

/* --------------------------------------------------------------- crossings */

static int
compare_int(const void *a, const void *b)
{
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	return left < right ? -1 : left > right;
}

/*
 * The places of a stop's neighbours, in order.
 */
static int
neighbour_places(const WfLayout *layout, const WfStop *stop, bool above, int *places)
{
	int			count = above ? stop->nabove : stop->nbelow;
	int		   *neighbours = above ? stop->above : stop->below;

	for (int i = 0; i < count; i++)
		places[i] = layout->stops[neighbours[i]].place;
	qsort(places, count, sizeof(int), compare_int);

	return count;
}

/*
 * Crossings between a row and the one below: for each link, how many of those
 * before it end further right (a tree of sums over the places).
 */
static int64
crossings_below(const WfLayout *layout, int row, int *places, int *sums)
{
	const WfRow *upper = &layout->rows[row];
	int			size = layout->rows[row + 1].count;
	int64		crossings = 0;
	int64		before = 0;

	memset(sums, 0, sizeof(int) * (size + 1));
	for (int i = 0; i < upper->count; i++)
	{
		int			count = neighbour_places(layout, &layout->stops[upper->stops[i]], false, places);

		for (int k = 0; k < count; k++)
		{
			int64		not_right = 0;

			for (int at = places[k] + 1; at > 0; at -= at & -at)
				not_right += sums[at];
			crossings += before - not_right;
		}
		for (int k = 0; k < count; k++)
			for (int at = places[k] + 1; at <= size; at += at & -at)
				sums[at]++;
		before += count;
	}

	return crossings;
}

static int64
count_crossings(const WfLayout *layout)
{
	int		   *places = palloc(sizeof(int) * (layout->picture->narrows + 1));
	int		   *sums = palloc(sizeof(int) * (layout->nstops + 2));
	int64		crossings = 0;

	for (int i = 0; i + 1 < layout->nrows; i++)
		crossings += crossings_below(layout, i, places, sums);
	pfree(places);
	pfree(sums);

	return crossings;
}

/* ------------------------------------------------------------------ sweeps */

static int
compare_means(const void *a, const void *b)
{
	const Sortable *left = a;
	const Sortable *right = b;

	if (left->mean != right->mean)
		return left->mean < right->mean ? -1 : 1;

	return left->place < right->place ? -1 : left->place > right->place;
}

/*
 * A stop without neighbours on that side stays beside whoever it stood by.
 */
static void
sort_row(WfLayout *layout, WfRow *row, bool by_above)
{
	Sortable   *sorted = palloc(sizeof(Sortable) * (row->count + 1));
	double		last = 0;

	for (int i = 0; i < row->count; i++)
	{
		WfStop	   *stop = &layout->stops[row->stops[i]];
		int			count = by_above ? stop->nabove : stop->nbelow;
		int		   *neighbours = by_above ? stop->above : stop->below;
		double		sum = 0;

		for (int k = 0; k < count; k++)
			sum += layout->stops[neighbours[k]].place;
		sorted[i].stop = row->stops[i];
		sorted[i].place = i;
		sorted[i].mean = last = count > 0 ? sum / count : last;
	}
	qsort(sorted, row->count, sizeof(Sortable), compare_means);
	for (int i = 0; i < row->count; i++)
	{
		row->stops[i] = sorted[i].stop;
		layout->stops[sorted[i].stop].place = i;
	}
	pfree(sorted);
}

/*
 * By how much fewer links cross if two neighbours of a row change places.
 */
static int
saved_by_swap(const WfLayout *layout, const WfStop *left, const WfStop *right)
{
	int			a[SWAP_LINKS];
	int			b[SWAP_LINKS];
	int			saved = 0;

	if (Max(left->nabove, left->nbelow) > SWAP_LINKS || Max(right->nabove, right->nbelow) > SWAP_LINKS)
		return 0;
	for (int side = 0; side < 2; side++)
	{
		int			na = neighbour_places(layout, left, side == 0, a);
		int			nb = neighbour_places(layout, right, side == 0, b);

		for (int i = 0; i < na; i++)
			for (int k = 0; k < nb; k++)
				saved += (a[i] > b[k]) - (a[i] < b[k]);
	}

	return saved;
}

static void
swap_neighbours(WfLayout *layout)
{
	bool		better = true;

	for (int round = 0; better && round < 10; round++)
	{
		better = false;
		for (int r = 0; r < layout->nrows; r++)
			for (int i = 0; i + 1 < layout->rows[r].count; i++)
			{
				int		   *pair = &layout->rows[r].stops[i];
				WfStop	   *left = &layout->stops[pair[0]];
				WfStop	   *right = &layout->stops[pair[1]];
				int			stop = pair[0];

				if (saved_by_swap(layout, left, right) <= 0)
					continue;
				pair[0] = pair[1];
				pair[1] = stop;
				right->place = i;
				left->place = i + 1;
				better = true;
			}
	}
}

static void
sweep(WfLayout *layout, bool downward)
{
	for (int i = 1; i < layout->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sort_row(layout, &layout->rows[downward ? i : layout->nrows - 1 - i], downward);
	}
	if (layout->nstops <= SWAP_STOPS)
		swap_neighbours(layout);
}

static void
remember(const WfLayout *layout, int *places)
{
	for (int i = 0; i < layout->nstops; i++)
		places[i] = layout->stops[i].place;
}

static void
recall(WfLayout *layout, const int *places)
{
	for (int i = 0; i < layout->nstops; i++)
	{
		layout->stops[i].place = places[i];
		layout->rows[layout->stops[i].row].stops[places[i]] = i;
	}
}

void
wf_layout_order(WfLayout *layout)
{
	int		   *best = palloc(sizeof(int) * (layout->nstops + 1));
	int64		fewest;
	int			idle = 0;
	int			sweeps = Max(Min(SWEEPS, SWEPT_STOPS / (layout->nstops + 1)), 4);

	order_as_met(layout);
	remember(layout, best);
	fewest = count_crossings(layout);
	for (int i = 0; i < sweeps && idle < PATIENCE && fewest > 0; i++)
	{
		int64		crossings;

		sweep(layout, i % 2 == 0);
		crossings = count_crossings(layout);
		idle++;
		if (crossings < fewest)
		{
			fewest = crossings;
			idle = 0;
			remember(layout, best);
		}
	}
	recall(layout, best);
}
