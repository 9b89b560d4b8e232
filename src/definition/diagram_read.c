/*
 * diagram_read.c
 *	  A picture as workflow._picture() writes it, with its texts measured.
 *
 *		{"title": ..., "description": ..., "initial": 0,
 *		 "boxes": [{"kind", "name", "detail", "tone", "tip", "badge", "heat"}, ...],
 *		 "arrows": [{"from": 0, "to": 1, "events": ["ok", ...], "tip"}, ...]}
 */
#include "postgres.h"

#include <math.h>

#include "base/jsonb.h"
#include "definition/diagram.h"

#define NAME_WIDTH		230.0
#define DETAIL_WIDTH	210.0
#define LABEL_WIDTH		130.0
#define BOX_PADDING		14.0
#define BOX_HEIGHT		40.0
#define FLAT_HEIGHT		28.0	/* with one line */
#define BOX_LEAST		84.0
#define END_WIDTH		9.0		/* of an arrow at a box */
#define HUB_WIDTH		480.0

static char *
member_text(JsonbValue *object, const char *key)
{
	return wf_jsonb_value_text(wf_jsonb_value_get(object, key));
}

static int
member_int(JsonbValue *object, const char *key)
{
	char	   *text = member_text(object, key);

	return text == NULL ? -1 : atoi(text);
}

static bool
is_pointed(const WfBox *box)
{
	return strcmp(box->kind, "gate") == 0 || strcmp(box->kind, "validate") == 0 ||
		strcmp(box->kind, "http") == 0 || strcmp(box->kind, "model") == 0 ||
		strcmp(box->kind, "review") == 0;
}

static void
measure_box(WfBox *box)
{
	double text = wf_text_width(box->name, WF_NAME_SIZE);

	if (strcmp(box->kind, "start") == 0)
	{
		box->width = box->height = 12;
		return;
	}
	if (box->detail != NULL)
		text = Max(text, wf_text_width(box->detail, WF_DETAIL_SIZE));

	box->width = Max(BOX_LEAST, text +2 * BOX_PADDING + (is_pointed(box) ? 12 : 0));
	if (box->badge != NULL)
		box->width += 2 * (wf_text_width(box->badge, WF_DETAIL_SIZE) + 12);
	box->width = 2 * ceil(box->width / 2);
	box->height = box->detail == NULL ? FLAT_HEIGHT : BOX_HEIGHT;
	if (strcmp(box->kind, "sql") == 0)
		box->height += WF_RIM;
}

static void
read_box(WfBox *box, JsonbValue *value)
{
	char	   *detail = member_text(value, "detail");

	box->kind = member_text(value, "kind");
	box->tone = member_text(value, "tone");
	box->name = wf_text_fit(member_text(value, "name"), WF_NAME_SIZE, NAME_WIDTH);
	box->detail = detail == NULL ? NULL : wf_text_fit(detail, WF_DETAIL_SIZE, DETAIL_WIDTH);
	box->tip = member_text(value, "tip");
	box->badge = member_text(value, "badge");
	box->heat = Max(member_int(value, "heat"), 0);
	measure_box(box);
}

static void
read_arrow(WfArrow *arrow, JsonbValue *value, int nboxes)
{
	int			count;
	JsonbValue *events = wf_jsonb_elements(wf_jsonb_value_get(value, "events"), &count);
	char	  **words = palloc(sizeof(char *) * Max(count, 1));

	for (int i = 0; i < count; i++)
		words[i] = wf_jsonb_value_text(&events[i]);

	arrow->from = member_int(value, "from");
	arrow->to = member_int(value, "to");
	if (arrow->from < 0 || arrow->from >= nboxes || arrow->to < 0 || arrow->to >= nboxes)
		elog(ERROR, "an arrow of a picture leads nowhere");
	arrow->label = wf_text_lines(words, count, WF_LABEL_SIZE, LABEL_WIDTH);
	arrow->tip = member_text(value, "tip");
	arrow->label_stop = -1;
}

/*
 * Boxes that many arrows leave from or lead to are wide enough for their ends.
 */
static void
widen_hubs(WfPicture *picture)
{
	int		   *leaving = palloc0(sizeof(int) * (picture->nboxes + 1));
	int		   *arriving = palloc0(sizeof(int) * (picture->nboxes + 1));

	for (int i = 0; i < picture->narrows; i++)
	{
		leaving[picture->arrows[i].from]++;
		arriving[picture->arrows[i].to]++;
	}
	for (int i = 0; i < picture->nboxes; i++)
	{
		WfBox	   *box = &picture->boxes[i];
		int			ends = Max(leaving[i], arriving[i]);

		if (ends > 1)
			box->width = Max(box->width, Min(ends * END_WIDTH + 2 * BOX_PADDING, HUB_WIDTH));
	}
	pfree(leaving);
	pfree(arriving);
}

WfPicture *
wf_picture_read(Jsonb *document)
{
	WfPicture  *picture = palloc0(sizeof(WfPicture));
	JsonbValue *boxes = wf_jsonb_elements(wf_jsonb_get(document, "boxes"), &picture->nboxes);
	JsonbValue *arrows = wf_jsonb_elements(wf_jsonb_get(document, "arrows"), &picture->narrows);

	picture->title = wf_jsonb_get_text(document, "title");
	picture->description = wf_jsonb_get_text(document, "description");
	picture->initial = wf_jsonb_get_int(document, "initial", -1);

	picture->boxes = palloc0(sizeof(WfBox) * (picture->nboxes + picture->narrows + 1));
	for (int i = 0; i < picture->nboxes; i++)
		read_box(&picture->boxes[i], &boxes[i]);
	picture->arrows = palloc0(sizeof(WfArrow) * Max(picture->narrows, 1));
	for (int i = 0; i < picture->narrows; i++)
		read_arrow(&picture->arrows[i], &arrows[i], picture->nboxes);
	widen_hubs(picture);

	return picture;
}

/*
 * Adds a box that stands for another one; there is room for one to each arrow.
 */
int
wf_picture_add_note(WfPicture *picture, int box)
{
	WfBox	   *note = &picture->boxes[picture->nboxes];

	note->kind = "elsewhere";
	note->tone = "other";
	note->name = picture->boxes[box].name;
	note->tip = psprintf("%s is drawn elsewhere", picture->boxes[box].name);
	measure_box(note);

	return picture->nboxes++;
}
