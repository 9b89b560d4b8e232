/*
 * diagram.h
 *	  The picture of a state machine: from jsonb over a layered layout to SVG.
 *
 * A picture is a pure value: boxes and arrows with their texts, as
 * workflow._picture() makes it of a document.  It becomes a drawing in steps,
 * each in a file of its own:
 *
 *		read	jsonb to WfPicture; texts are measured, boxes get their sizes
 *		rank	cycles are broken; every box gets a row, every arrow a chain of
 *				stops in the rows between its ends
 *		order	the stops of each row are ordered so that few arrows cross
 *		place	stops get x coordinates, so that long arrows run straight
 *		route	rows get y coordinates, arrows their ends and curves
 *		svg		all of it is written
 *
 * Boxes stand in even rows, the texts of arrows in odd ones.  An arrow passes a
 * row where a stop of its own keeps the place free, and bends only between rows.
 * So nothing can overlap, whatever the document.
 */
#ifndef WF_DEFINITION_DIAGRAM_H
#define WF_DEFINITION_DIAGRAM_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Rows of text at an arrow, or in a box. */
typedef struct WfLines
{
	int			count;
	char	  **line;
	double		width;			/* of the widest */
} WfLines;

typedef struct WfBox
{
	const char *kind;			/* "sql", "review", ..., or "start", "any",
								 * "origin", "elsewhere", which are no states */
	const char *tone;			/* of a final state: its outcome's class */
	char	   *name;
	char	   *detail;			/* second line, or NULL */
	char	   *tip;
	char	   *badge;			/* how many items stand here, or NULL */
	int			heat;			/* 0 to 9: how strongly it is coloured */
	double		width;
	double		height;
	double		x;				/* of the middle */
	double		y;				/* of the top */
	double		beside;			/* height of the text at its loop */
	int			row;
	int			stop;			/* its stop in the layout */
} WfBox;

typedef struct WfArrow
{
	int			from;			/* boxes */
	int			to;
	WfLines		label;
	char	   *tip;
	bool		upward;			/* drawn against the order of the rows */
	int			first;			/* its first stop between rows, from above */
	int			nstops;
	int			label_stop;		/* which of them carries the text, or -1 */
	double		top_x;			/* where it meets its boxes */
	double		bottom_x;
} WfArrow;

typedef struct WfPicture
{
	char	   *title;
	char	   *description;
	int			initial;		/* a box, or -1 */
	int			nboxes;
	WfBox	   *boxes;
	int			narrows;
	WfArrow    *arrows;
} WfPicture;

/* Where a row holds place for a box, or for an arrow that passes. */
typedef struct WfStop
{
	int			row;
	int			place;			/* in its row */
	int			box;			/* or -1 */
	int			arrow;			/* or -1 */
	double		left;			/* how far it reaches from x */
	double		right;
	double		x;
	int			nabove;
	int			nbelow;
	int		   *above;			/* stops it is linked to */
	int		   *below;
} WfStop;

typedef struct WfRow
{
	int			count;
	int		   *stops;			/* from left to right */
	double		y;				/* top */
	double		height;
} WfRow;

typedef struct WfLayout
{
	WfPicture  *picture;
	int			nstops;
	WfStop	   *stops;
	int			nrows;
	WfRow	   *rows;
	double		width;
	double		height;
} WfLayout;

/* Sizes, in pixels. */
#define WF_NAME_SIZE	12.0
#define WF_DETAIL_SIZE	10.0
#define WF_LABEL_SIZE	10.5
#define WF_LABEL_LINE	13.0
#define WF_MARGIN		16.0
#define WF_RIM			6.0		/* of a cylinder, above its text */
#define WF_STOP_GAP		14.0	/* between neighbours in a row */
#define WF_LOOP_REACH	26.0	/* of a loop beside its box */

/* A drawing with more stops is refused: its text would be tens of megabytes. */
#define WF_MAX_STOPS	400000

/* read */
extern WfPicture *wf_picture_read(Jsonb *document);
extern int	wf_picture_add_note(WfPicture *picture, int box);

/* text */
extern double wf_text_width(const char *text, double size);
extern char *wf_text_fit(const char *text, double size, double width);
extern WfLines wf_text_lines(char **words, int count, double size, double width);
extern void wf_xml_append(StringInfo out, const char *text);

/* rank */
extern WfLayout *wf_layout_rank(WfPicture *picture);

/* order */
extern void wf_layout_order(WfLayout *layout);

/* place */
extern void wf_layout_place(WfLayout *layout);

/* route */
extern void wf_layout_route(WfLayout *layout);

/* svg, shape */
extern char *wf_layout_svg(WfLayout *layout);
extern void wf_svg_box(StringInfo out, const WfBox *box);
extern void wf_svg_style(StringInfo out);
extern void wf_svg_number(StringInfo out, double value);

#endif							/* WF_DEFINITION_DIAGRAM_H */
