/*
 * diagram_rank.c
 *	  Rows of a drawing: each box below all that lead to it.
 *
 * A search from the initial state finds the arrows that close cycles; those are
 * drawn upward.  A box's row is the longest way to it along all others.  Then
 * every arrow gets a stop in each row between its ends.
 */
#include "postgres.h"

#include <limits.h>

#include "definition/diagram.h"
#include "miscadmin.h"

/* A drawing with more stops is large; an arrow with more is long. */
#define LARGE_STOPS		20000
#define LONG_STOPS		23

typedef struct Ranking
{
	WfPicture  *picture;
	int		   *start;			/* of each box, in arrows */
	int		   *arrows;			/* by the box that they leave */
	int		   *finished;		/* boxes, as the search left them */
	int			nfinished;
} Ranking;

static int
upper_box(const WfArrow *arrow)
{
	return arrow->upward ? arrow->to : arrow->from;
}

static int
lower_box(const WfArrow *arrow)
{
	return arrow->upward ? arrow->from : arrow->to;
}

static bool
is_loop(const WfArrow *arrow)
{
	return arrow->from == arrow->to;
}

/*
 * Lists the arrows of each box, in their order.
 */
static void
list_arrows(Ranking *ranking)
{
	WfPicture  *picture = ranking->picture;
	int		   *next = palloc0(sizeof(int) * (picture->nboxes + 1));

	memset(ranking->start, 0, sizeof(int) * (picture->nboxes + 1));
	for (int i = 0; i < picture->narrows; i++)
		ranking->start[upper_box(&picture->arrows[i]) + 1]++;
	for (int i = 0; i < picture->nboxes; i++)
		ranking->start[i + 1] += ranking->start[i];

	memcpy(next, ranking->start, sizeof(int) * (picture->nboxes + 1));
	for (int i = 0; i < picture->narrows; i++)
		ranking->arrows[next[upper_box(&picture->arrows[i])]++] = i;
	pfree(next);
}

/* ------------------------------------------------------------------ cycles */

typedef enum Visit
{
	UNSEEN,
	OPEN,						/* on the way from where the search began */
	DONE,
} Visit;

/*
 * Walks all that can be reached from a box.  An arrow to a box that is still
 * open closes a cycle.
 */
static void
search_from(Ranking *ranking, int box, Visit *visits, int *way, int *next)
{
	WfPicture  *picture = ranking->picture;
	int			depth = 0;

	if (visits[box] != UNSEEN)
		return;
	visits[box] = OPEN;
	way[depth++] = box;
	while (depth > 0)
	{
		int			here = way[depth - 1];
		WfArrow    *arrow;

		CHECK_FOR_INTERRUPTS();
		if (next[here] == ranking->start[here + 1])
		{
			visits[here] = DONE;
			ranking->finished[ranking->nfinished++] = here;
			depth--;
			continue;
		}
		arrow = &picture->arrows[ranking->arrows[next[here]++]];
		if (visits[arrow->to] == OPEN)
			arrow->upward = !is_loop(arrow);
		else if (visits[arrow->to] == UNSEEN)
		{
			visits[arrow->to] = OPEN;
			way[depth++] = arrow->to;
		}
	}
}

static void
break_cycles(Ranking *ranking)
{
	int			nboxes = ranking->picture->nboxes;
	Visit	   *visits = palloc0(sizeof(Visit) * (nboxes + 1));
	int		   *way = palloc(sizeof(int) * (nboxes + 1));
	int		   *next = palloc(sizeof(int) * (nboxes + 1));

	memcpy(next, ranking->start, sizeof(int) * (nboxes + 1));
	if (ranking->picture->initial >= 0)
		search_from(ranking, ranking->picture->initial, visits, way, next);
	for (int i = 0; i < nboxes; i++)
		search_from(ranking, i, visits, way, next);
}

/* -------------------------------------------------------------------- rows */

/*
 * What nothing leads to stands just above the first box that it leads to.
 */
static void
lower_sources(Ranking *ranking, const bool *has_above)
{
	WfPicture  *picture = ranking->picture;
	int			least = 0;

	for (int i = 0; i < picture->nboxes; i++)
	{
		int			row = INT_MAX;

		for (int k = ranking->start[i]; k < ranking->start[i + 1]; k++)
		{
			WfArrow    *arrow = &picture->arrows[ranking->arrows[k]];

			if (!is_loop(arrow))
				row = Min(row, picture->boxes[lower_box(arrow)].row);
		}
		if (!has_above[i] && row != INT_MAX && i != picture->initial)
			picture->boxes[i].row = row - 2;
		least = Min(least, picture->boxes[i].row);
	}
	for (int i = 0; i < picture->nboxes; i++)
		picture->boxes[i].row -= least;
}

static void
assign_rows(Ranking *ranking)
{
	WfPicture  *picture = ranking->picture;
	bool	   *has_above = palloc0(sizeof(bool) * (picture->nboxes + 1));

	for (int i = ranking->nfinished - 1; i >= 0; i--)
	{
		int			box = ranking->finished[i];

		for (int k = ranking->start[box]; k < ranking->start[box + 1]; k++)
		{
			WfArrow    *arrow = &picture->arrows[ranking->arrows[k]];
			WfBox	   *lower = &picture->boxes[lower_box(arrow)];

			if (is_loop(arrow))
				continue;
			lower->row = Max(lower->row, picture->boxes[box].row + 2);
			has_above[lower_box(arrow)] = true;
		}
	}
	lower_sources(ranking, has_above);
}

/* ------------------------------------------------------------------- stops */

static int
stops_of(const WfPicture *picture, const WfArrow *arrow)
{
	if (is_loop(arrow))
		return 0;

	return picture->boxes[lower_box(arrow)].row - picture->boxes[upper_box(arrow)].row - 1;
}

static int64
count_stops(const WfPicture *picture)
{
	int64		count = picture->nboxes;

	for (int i = 0; i < picture->narrows; i++)
		count += stops_of(picture, &picture->arrows[i]);

	return count;
}

/*
 * On a large drawing nobody can follow an arrow far, and hundreds of long ones
 * side by side hide the rest: there, each leads to a note that names its target.
 */
static void
cut_long_arrows(WfPicture *picture)
{
	if (count_stops(picture) <= LARGE_STOPS)
		return;
	for (int i = 0; i < picture->narrows; i++)
	{
		WfArrow    *arrow = &picture->arrows[i];

		if (stops_of(picture, arrow) <= LONG_STOPS)
			continue;
		arrow->to = wf_picture_add_note(picture, arrow->to);
		arrow->upward = false;
		picture->boxes[arrow->to].row = picture->boxes[arrow->from].row + 2;
	}
}

static int
check_size(const WfPicture *picture)
{
	int64		count = count_stops(picture);

	if (count > WF_MAX_STOPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the diagram is too large to be drawn"),
				 errdetail("%d states and %d transitions would take %lld places on it; %d can be drawn.",
						   picture->nboxes, picture->narrows, (long long) count, WF_MAX_STOPS),
				 errhint("Ask for format => 'dot', and draw that with a program.")));

	return (int) count;
}

static void
add_box_stops(WfLayout *layout)
{
	WfPicture  *picture = layout->picture;

	for (int i = 0; i < picture->nboxes; i++)
	{
		WfBox	   *box = &picture->boxes[i];
		WfStop	   *stop = &layout->stops[layout->nstops];

		*stop = (WfStop)
		{
			.row = box->row,.box = i,.arrow = -1,
				.left = box->width / 2,.right = box->width / 2
		};
		box->stop = layout->nstops++;
	}
	for (int i = 0; i < picture->narrows; i++)
	{
		WfArrow    *arrow = &picture->arrows[i];
		WfBox	   *box = &picture->boxes[arrow->from];

		if (!is_loop(arrow))
			continue;
		layout->stops[box->stop].right += WF_LOOP_REACH + arrow->label.width;
		box->beside = arrow->label.count * WF_LABEL_LINE;
	}
}

/*
 * The text stands at the end that the arrow leaves from.
 */
static void
add_arrow_stops(WfLayout *layout, int index)
{
	WfArrow    *arrow = &layout->picture->arrows[index];
	int			row = layout->picture->boxes[upper_box(arrow)].row + 1;

	arrow->nstops = stops_of(layout->picture, arrow);
	arrow->first = layout->nstops;
	if (arrow->label.count > 0 && arrow->nstops > 0)
		arrow->label_stop = arrow->first + (arrow->upward ? arrow->nstops - 1 : 0);
	for (int i = 0; i < arrow->nstops; i++)
	{
		WfStop	   *stop = &layout->stops[layout->nstops];
		bool		has_text = layout->nstops == arrow->label_stop;

		*stop = (WfStop)
		{
			.row = row + i,.box = -1,.arrow = index,
				.left = has_text ? 2 : -1,.right = has_text ? arrow->label.width + 2 : -1
		};
		layout->nstops++;
	}
}

static void
link_stops(WfLayout *layout, int above, int below)
{
	WfStop	   *upper = &layout->stops[above];
	WfStop	   *lower = &layout->stops[below];

	upper->below[upper->nbelow++] = below;
	lower->above[lower->nabove++] = above;
}

/*
 * Every stop knows its neighbours above and below.
 */
static void
link_all(WfLayout *layout)
{
	WfPicture  *picture = layout->picture;
	int		   *pool = palloc(sizeof(int) * 2 * (layout->nstops + picture->narrows + 1));

	for (int i = 0; i < picture->narrows; i++)
		if (!is_loop(&picture->arrows[i]))
		{
			layout->stops[picture->boxes[upper_box(&picture->arrows[i])].stop].nbelow++;
			layout->stops[picture->boxes[lower_box(&picture->arrows[i])].stop].nabove++;
		}
	for (int i = 0; i < layout->nstops; i++)
	{
		WfStop	   *stop = &layout->stops[i];

		stop->above = pool;
		pool += stop->box < 0 ? 1 : stop->nabove;
		stop->below = pool;
		pool += stop->box < 0 ? 1 : stop->nbelow;
		stop->nabove = stop->nbelow = 0;
	}

	for (int i = 0; i < picture->narrows; i++)
	{
		WfArrow    *arrow = &picture->arrows[i];
		int			above = picture->boxes[upper_box(arrow)].stop;

		if (is_loop(arrow))
			continue;
		for (int k = 0; k < arrow->nstops; above = arrow->first + k++)
			link_stops(layout, above, arrow->first + k);
		link_stops(layout, above, picture->boxes[lower_box(arrow)].stop);
	}
}

static void
list_rows(WfLayout *layout)
{
	for (int i = 0; i < layout->nstops; i++)
		layout->nrows = Max(layout->nrows, layout->stops[i].row + 1);
	layout->rows = palloc0(sizeof(WfRow) * Max(layout->nrows, 1));
	for (int i = 0; i < layout->nstops; i++)
		layout->rows[layout->stops[i].row].count++;
	for (int i = 0; i < layout->nrows; i++)
	{
		layout->rows[i].stops = palloc(sizeof(int) * Max(layout->rows[i].count, 1));
		layout->rows[i].count = 0;
	}
}

WfLayout *
wf_layout_rank(WfPicture *picture)
{
	WfLayout   *layout = palloc0(sizeof(WfLayout));
	Ranking		ranking = {picture};

	ranking.start = palloc(sizeof(int) * (picture->nboxes + 1));
	ranking.arrows = palloc(sizeof(int) * (picture->narrows + 1));
	ranking.finished = palloc(sizeof(int) * (picture->nboxes + 1));
	list_arrows(&ranking);
	break_cycles(&ranking);
	list_arrows(&ranking);
	assign_rows(&ranking);
	cut_long_arrows(picture);

	layout->picture = picture;
	layout->stops = palloc0(sizeof(WfStop) * (check_size(picture) + 1));
	add_box_stops(layout);
	for (int i = 0; i < picture->narrows; i++)
		add_arrow_stops(layout, i);
	link_all(layout);
	list_rows(layout);

	return layout;
}
