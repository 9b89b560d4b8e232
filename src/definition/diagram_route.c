/*
 * diagram_route.c
 *	  Where arrows meet their boxes, and how high the rows are.
 *
 * Ends are spread over a side of the box, each as near as can be to where its
 * arrow comes from, so that what can be straight is.  Rows are further apart
 * where arrows go far to the side.
 */
#include "postgres.h"

#include <math.h>

#include "definition/diagram.h"

#define END_GAP		14.0
#define ROW_GAP		18.0
#define ROW_GAP_MOST 64.0
#define SLOPE		0.11		/* of the width that arrows cross, to a gap */

typedef struct End
{
	WfArrow    *arrow;
	double		from;			/* x of the stop next to it */
	double		x;
} End;

static int
compare_ends(const void *a, const void *b)
{
	const End  *left = a;
	const End  *right = b;

	if (left->from != right->from)
		return left->from < right->from ? -1 : 1;

	return left->arrow < right->arrow ? -1 : left->arrow > right->arrow;
}

/*
 * Arrows do not end where a shape is cut off or pointed.
 */
static double
corner_of(const WfBox *box)
{
	if (strcmp(box->kind, "start") == 0)
		return box->width / 2;
	if (strcmp(box->kind, "gate") == 0 || strcmp(box->kind, "validate") == 0)
		return 22;

	return 16;
}

static void
spread_ends(const WfBox *box, End *ends, int count)
{
	double		low = box->x - box->width / 2 + corner_of(box);
	double		high = box->x + box->width / 2 - corner_of(box);
	double		gap = count > 1 ? Min(END_GAP, (high - low) / (count - 1)) : 0;

	qsort(ends, count, sizeof(End), compare_ends);
	for (int i = 0; i < count; i++)
	{
		ends[i].x = Min(Max(ends[i].from, low), high);
		if (i > 0)
			ends[i].x = Max(ends[i].x, ends[i - 1].x + gap);
	}
	for (int i = count - 1; i >= 0; i--)
		ends[i].x = Min(ends[i].x, i == count - 1 ? high : ends[i + 1].x - gap);
}

/*
 * The arrow that a link of a box belongs to: that of the stop at its end.
 */
static void
place_ends(WfLayout *layout, WfBox *box, bool at_top)
{
	WfStop	   *stop = &layout->stops[box->stop];
	int			count = at_top ? stop->nabove : stop->nbelow;
	End		   *ends = palloc(sizeof(End) * (count + 1));

	for (int i = 0; i < count; i++)
	{
		WfStop	   *other = &layout->stops[at_top ? stop->above[i] : stop->below[i]];

		ends[i].arrow = &layout->picture->arrows[other->arrow];
		ends[i].from = other->x;
	}
	spread_ends(box, ends, count);
	for (int i = 0; i < count; i++)
	{
		if (at_top)
			ends[i].arrow->bottom_x = ends[i].x;
		else
			ends[i].arrow->top_x = ends[i].x;
	}
	pfree(ends);
}

/* -------------------------------------------------------------------- rows */

static double
height_of_row(const WfLayout *layout, const WfRow *row, bool of_boxes)
{
	double		height = of_boxes ? 12 : 2;

	for (int i = 0; i < row->count; i++)
	{
		const WfStop *stop = &layout->stops[row->stops[i]];
		const WfArrow *arrow = stop->arrow < 0 ? NULL : &layout->picture->arrows[stop->arrow];

		if (stop->box >= 0)
			height = Max(height, Max(layout->picture->boxes[stop->box].height,
									 layout->picture->boxes[stop->box].beside));
		else if (arrow->label_stop == row->stops[i])
			height = Max(height, arrow->label.count * WF_LABEL_LINE + 2);
	}

	return height;
}

/*
 * How far to the side the arrows go between a row and the next one.
 */
static double
widest_step(const WfLayout *layout, int row)
{
	double		widest = 0;

	for (int i = 0; i < layout->rows[row].count; i++)
	{
		const WfStop *stop = &layout->stops[layout->rows[row].stops[i]];

		for (int k = 0; k < stop->nbelow; k++)
		{
			const WfStop *below = &layout->stops[stop->below[k]];
			const WfArrow *arrow = &layout->picture->arrows[stop->arrow >= 0 ? stop->arrow : below->arrow];
			double		from = stop->box >= 0 ? arrow->top_x : stop->x;
			double		to = below->box >= 0 ? arrow->bottom_x : below->x;

			widest = Max(widest, fabs(to - from));
		}
	}

	return widest;
}

static void
place_rows(WfLayout *layout)
{
	double		y = WF_MARGIN;

	for (int i = 0; i < layout->nrows; i++)
	{
		WfRow	   *row = &layout->rows[i];

		row->y = y;
		row->height = height_of_row(layout, row, i % 2 == 0);
		y += row->height;
		if (i < layout->nrows - 1)
			y += floor(Min(ROW_GAP + SLOPE * widest_step(layout, i), ROW_GAP_MOST));
	}
	layout->height = y + WF_MARGIN;
}

void
wf_layout_route(WfLayout *layout)
{
	WfPicture  *picture = layout->picture;

	for (int i = 0; i < picture->nboxes; i++)
		picture->boxes[i].x = layout->stops[picture->boxes[i].stop].x;
	for (int i = 0; i < picture->nboxes; i++)
	{
		place_ends(layout, &picture->boxes[i], true);
		place_ends(layout, &picture->boxes[i], false);
	}
	place_rows(layout);
	for (int i = 0; i < picture->nboxes; i++)
	{
		WfBox	   *box = &picture->boxes[i];
		WfRow	   *row = &layout->rows[box->row];

		box->y = row->y + floor((row->height - box->height) / 2);
	}
}
