/*
 * diagram_svg.c
 *	  A finished layout as SVG that needs nothing but itself: no script, no
 *	  reference to elsewhere, fonts by family only.
 */
#include "postgres.h"

#include <math.h>

#include "definition/diagram.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define HEAD_LENGTH		7.0
#define HEAD_WIDTH		3.5

PG_FUNCTION_INFO_V1(wf_draw_svg);

/*
 * Drawings have whole and half pixels only.  Nothing stands before a number: in
 * an attribute a blank there makes browsers take it for none.
 */
void
wf_svg_number(StringInfo out, double value)
{
	long		halves = lround(value * 2);

	appendStringInfo(out, "%s%ld%s", halves < 0 ? "-" : "", labs(halves) / 2,
					 halves % 2 == 0 ? "" : ".5");
}

/*
 * A step of a path: a command and so many numbers (doubles).
 */
static void
append_step(StringInfo out, char command, int count,...)
{
	va_list		numbers;

	appendStringInfoChar(out, command);
	va_start(numbers, count);
	for (int i = 0; i < count; i++)
	{
		appendStringInfoChar(out, ' ');
		wf_svg_number(out, va_arg(numbers, double));
	}
	va_end(numbers);
}

/* ------------------------------------------------------------------ arrows */

typedef struct Pen
{
	StringInfo	out;
	double		x;
} Pen;

/*
 * Straight on if it can be, else in a curve that begins and ends upright.
 */
static void
go_to(Pen *pen, double from_y, double x, double y)
{
	double		middle = (from_y + y) / 2;

	if (x == pen->x)
		return;
	append_step(pen->out, 'V', 1, from_y);
	append_step(pen->out, 'C', 6, pen->x, middle, x, middle, x, y);
	pen->x = x;
}

static void
append_path(StringInfo out, const WfLayout *layout, const WfArrow *arrow)
{
	const WfBox *upper = &layout->picture->boxes[arrow->upward ? arrow->to : arrow->from];
	const WfBox *lower = &layout->picture->boxes[arrow->upward ? arrow->from : arrow->to];
	double		at_top = arrow->upward ? HEAD_LENGTH : 0;
	double		at_bottom = arrow->upward ? 0 : HEAD_LENGTH;
	const WfRow *row = &layout->rows[upper->row];
	double		from_y = row->y + row->height + at_top;
	Pen			pen = {out, arrow->top_x};

	append_step(out, 'M', 2, pen.x, upper->y + upper->height + at_top);
	for (int i = 0; i < arrow->nstops; i++)
	{
		row++;
		go_to(&pen, from_y, layout->stops[arrow->first + i].x, row->y);
		from_y = row->y + row->height;
	}
	row++;
	go_to(&pen, from_y, arrow->bottom_x, row->y - at_bottom);
	append_step(out, 'V', 1, lower->y - at_bottom);
}

static void
append_head(StringInfo out, double x, double y, double dx, double dy)
{
	appendStringInfoString(out, "<path class=\"wf-head\" d=\"");
	append_step(out, 'M', 2, x, y);
	append_step(out, 'L', 2, x + dx * HEAD_LENGTH - dy * HEAD_WIDTH,
				y + dy * HEAD_LENGTH - dx * HEAD_WIDTH);
	append_step(out, 'L', 2, x + dx * HEAD_LENGTH + dy * HEAD_WIDTH,
				y + dy * HEAD_LENGTH + dx * HEAD_WIDTH);
	appendStringInfoString(out, "Z\"/>");
}

static void
append_label(StringInfo out, const WfLines *label, double x, double middle)
{
	double		y = middle - label->count * WF_LABEL_LINE / 2 + 10;

	for (int i = 0; i < label->count; i++)
	{
		appendStringInfoString(out, "<text class=\"wf-label\" x=\"");
		wf_svg_number(out, x);
		appendStringInfoString(out, "\" y=\"");
		wf_svg_number(out, y + i * WF_LABEL_LINE);
		appendStringInfoString(out, "\">");
		wf_xml_append(out, label->line[i]);
		appendStringInfoString(out, "</text>");
	}
}

static void
append_loop(StringInfo out, const WfLayout *layout, const WfArrow *arrow)
{
	const WfBox *box = &layout->picture->boxes[arrow->from];
	double		x = box->x + box->width / 2;
	double		y = box->y + box->height / 2;

	appendStringInfoString(out, "<path class=\"wf-line\" d=\"");
	append_step(out, 'M', 2, x, y - 6);
	append_step(out, 'C', 6, x + 22, y - 14, x + 22, y + 14, x + HEAD_LENGTH, y + 6);
	appendStringInfoString(out, "\"/>");
	append_head(out, x, y + 6, 1, 0);
	append_label(out, &arrow->label, x + WF_LOOP_REACH - 4, y);
}

static void
append_arrow(StringInfo out, const WfLayout *layout, const WfArrow *arrow)
{
	const WfBox *from = &layout->picture->boxes[arrow->from];
	const WfBox *to = &layout->picture->boxes[arrow->to];

	appendStringInfo(out, "<g class=\"wf-arrow%s%s\"><title>", arrow->upward ? " wf-up" : "",
					 strcmp(from->kind, "any") == 0 ? " wf-from-any" : "");
	wf_xml_append(out, arrow->tip);
	appendStringInfoString(out, "</title>");
	if (arrow->from == arrow->to)
		append_loop(out, layout, arrow);
	else
	{
		appendStringInfoString(out, "<path class=\"wf-line\" d=\"");
		append_path(out, layout, arrow);
		appendStringInfoString(out, "\"/>");
		if (arrow->upward)
			append_head(out, arrow->top_x, to->y + to->height, 0, 1);
		else
			append_head(out, arrow->bottom_x, to->y, 0, -1);
	}
	if (arrow->label_stop >= 0)
	{
		const WfStop *stop = &layout->stops[arrow->label_stop];
		const WfRow *row = &layout->rows[stop->row];

		append_label(out, &arrow->label, stop->x + 5, row->y + row->height / 2);
	}
	appendStringInfoString(out, "</g>\n");
}

/* ----------------------------------------------------------------- drawing */

/*
 * Titles are read aloud, and shown where the pointer rests.
 */
static void
append_beginning(StringInfo out, const WfLayout *layout)
{
	const WfPicture *picture = layout->picture;

	appendStringInfo(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"wf-diagram\" "
					 "viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\" aria-label=\"",
					 layout->width, layout->height, layout->width, layout->height);
	wf_xml_append(out, picture->title);
	appendStringInfoString(out, "\">\n<title>");
	wf_xml_append(out, picture->title);
	appendStringInfoString(out, "</title>\n");
	if (picture->description != NULL)
	{
		appendStringInfoString(out, "<desc>");
		wf_xml_append(out, picture->description);
		appendStringInfoString(out, "</desc>\n");
	}
	wf_svg_style(out);
	appendStringInfo(out, "<rect class=\"wf-ground\" width=\"%.0f\" height=\"%.0f\" rx=\"8\"/>\n",
					 layout->width, layout->height);
}

char *
wf_layout_svg(WfLayout *layout)
{
	StringInfoData out;

	initStringInfo(&out);
	append_beginning(&out, layout);
	for (int i = 0; i < layout->picture->narrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		append_arrow(&out, layout, &layout->picture->arrows[i]);
	}
	for (int i = 0; i < layout->picture->nboxes; i++)
		wf_svg_box(&out, &layout->picture->boxes[i]);
	appendStringInfoString(&out, "</svg>\n");

	return out.data;
}

/*
 * _draw_svg(picture jsonb) returns text
 */
Datum
wf_draw_svg(PG_FUNCTION_ARGS)
{
	WfLayout   *layout = wf_layout_rank(wf_picture_read(PG_GETARG_JSONB_P(0)));

	wf_layout_order(layout);
	wf_layout_place(layout);
	wf_layout_route(layout);

	PG_RETURN_TEXT_P(cstring_to_text(wf_layout_svg(layout)));
}
