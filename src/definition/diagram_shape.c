/*
 * diagram_shape.c
 *	  What boxes look like: a shape for each kind of activity, a colour for who
 *	  acts, light and dark.
 */
#include "postgres.h"

#include "definition/diagram.h"

typedef struct Shape
{
	const char *kind;
	const char *colour;			/* class of the colour */
	/* Corners in steps of: l r t b (sides), x and y (middle), with an offset */
	const char *outline;
	const char *extra;			/* lines inside, or NULL */
} Shape;

/*
 * Outlines are paths in which l, r, t, b, x and y stand for the sides and the
 * middle of the box; a number after one is added to it.
 */
#define ROUND(n) \
	"M l+" n " t L r-" n " t Q r t r t+" n " L r b-" n " Q r b r-" n " b L l+" n " b Q l b l b-" n " L l t+" n " Q l t l+" n " t Z"
#define PILL \
	"M l+14 t L r-14 t C r-6 t r y-8 r y C r y+8 r-6 b r-14 b L l+14 b C l+6 b l y+8 l y C l y-8 l+6 t l+14 t Z"
#define INNER_PILL \
	"M l+14 t+3 L r-14 t+3 C r-8 t+3 r-3 y-8 r-3 y C r-3 y+8 r-8 b-3 r-14 b-3 L l+14 b-3 C l+8 b-3 l+3 y+8 l+3 y C l+3 y-8 l+8 t+3 l+14 t+3 Z"
#define POINTED		"M l y L l+18 t L r-18 t L r y L r-18 b L l+18 b Z"

static const Shape shapes[] = {
	{"sql", "work", "M l t+4 C l t-1 r t-1 r t+4 L r b-4 C r b+1 l b+1 l b-4 Z", "M l t+4 C l t+9 r t+9 r t+4"},
	{"http", "work", "M l+12 t L r t L r-12 b L l b Z"},
	{"model", "work", "M l+10 t L r t L r b-10 L r-10 b L l b L l t+10 Z"},
	{"task", "work", ROUND("3"), "M l+6 t L l+6 b M r-6 t L r-6 b"},
	{"spawn", "work", ROUND("3"), "M l+4 t+4 L r-4 t+4 M l+4 b-4 L r-4 b-4"},
	{"review", "people", "M l t L r t L r-12 b L l+12 b Z"},
	{"gate", "choice", POINTED},
	{"validate", "choice", POINTED},
	{"then", "plain", ROUND("4")},
	{"wait", "waits", PILL},
	{"event", "waits", ROUND("10")},
	{"exception", "trouble", "M l+10 t L r-10 t L r t+10 L r b-10 L r-10 b L l+10 b L l b-10 L l t+10 Z"},
	{"final", "end", PILL, INNER_PILL},
	{"any", "note", PILL},
	{"origin", "note", PILL},
	{"elsewhere", "note", PILL},
	{"start", "dot", ROUND("6")},
	{NULL, "plain", ROUND("4")}
};

/* Fill, stroke and text of each colour, light and dark. */
static const struct
{
	const char *colour;
	const char *light[3];
	const char *dark[3];
}			colours[] =

{
	{"work", {"#e3eefc", "#3d78c4", "#14345c"}, {"#16304f", "#5b9bea", "#dbe9fb"}},
	{"people", {"#fdf0d2", "#bf8a15", "#573c00"}, {"#43340f", "#d9a83a", "#fbeccb"}},
	{"choice", {"#ece6fa", "#7a5bc4", "#38216f"}, {"#2f2550", "#a08be6", "#e8e1fb"}},
	{"plain", {"#f1f3f5", "#8a939c", "#343a40"}, {"#2a2f35", "#8b949e", "#dfe3e7"}},
	{"waits", {"#dff3f3", "#2c8f90", "#0c4647"}, {"#103a3b", "#4fb9ba", "#d3f2f2"}},
	{"trouble", {"#fde6dc", "#cc5a28", "#6b2708"}, {"#4a2413", "#ec8553", "#fde1d4"}},
	{"success", {"#dcf3e2", "#2f9350", "#0d4a21"}, {"#133b21", "#55bd78", "#d3f3dd"}},
	{"failure", {"#fbdfe1", "#c53a48", "#6a0f1a"}, {"#4a1a20", "#ea6c78", "#fcdadd"}},
	{"stopped", {"#eceef0", "#6c757d", "#343a40"}, {"#2b3036", "#98a2ac", "#dfe3e7"}},
	{"other", {"#e6ebf5", "#5a6b94", "#26314f"}, {"#262f45", "#8d9fca", "#dde4f4"}},
	{"note", {"#ffffff", "#8a939c", "#59626b"}, {"#0d1117", "#8b949e", "#aeb6be"}},
	{"dot", {"#343a40", "#343a40", "#343a40"}, {"#dfe3e7", "#dfe3e7", "#dfe3e7"}},
};

static const Shape *
shape_of(const WfBox *box)
{
	const Shape *shape = shapes;

	while (shape->kind != NULL && strcmp(shape->kind, box->kind) != 0)
		shape++;

	return shape;
}

/* ------------------------------------------------------------------- style */

static void
append_colours(StringInfo out, bool dark)
{
	for (int i = 0; i < lengthof(colours); i++)
	{
		const char *const *value = dark ? colours[i].dark : colours[i].light;

		appendStringInfo(out, ".wf-diagram .wf-%s .wf-shape{fill:%s}"
						 ".wf-diagram .wf-%s .wf-shape,.wf-diagram .wf-%s .wf-extra{stroke:%s}"
						 ".wf-diagram .wf-%s .wf-heat{fill:%s}"
						 ".wf-diagram .wf-%s .wf-badge,.wf-diagram .wf-%s text{fill:%s}\n",
						 colours[i].colour, value[0], colours[i].colour, colours[i].colour, value[1],
						 colours[i].colour, value[1], colours[i].colour, colours[i].colour, value[2]);
	}
	appendStringInfo(out, ".wf-diagram .wf-ground{fill:%s}"
					 ".wf-diagram .wf-line{stroke:%s}.wf-diagram .wf-head{fill:%s}"
					 ".wf-diagram .wf-up .wf-line{stroke:%s}.wf-diagram .wf-up .wf-head{fill:%s}"
					 ".wf-diagram .wf-label{fill:%s}.wf-diagram .wf-state .wf-count{fill:%s}\n",
					 dark ? "#0d1117" : "#ffffff",
					 dark ? "#7d8590" : "#7b858f", dark ? "#7d8590" : "#7b858f",
					 dark ? "#a08be6" : "#7a5bc4", dark ? "#a08be6" : "#7a5bc4",
					 dark ? "#b8c0c8" : "#444c54", dark ? "#0d1117" : "#ffffff");
}

void
wf_svg_style(StringInfo out)
{
	appendStringInfoString(out, "<style>\n"
						   ".wf-diagram text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif;text-anchor:middle}\n"
						   ".wf-diagram .wf-name{font-size:12px;font-weight:500}"
						   ".wf-diagram .wf-detail{font-size:10px}"
						   ".wf-diagram .wf-count{font-size:10px;font-weight:500}\n"
						   ".wf-diagram .wf-label{font-size:10.5px;text-anchor:start}"
						   ".wf-diagram .wf-shape,.wf-diagram .wf-extra{stroke-width:1.3;stroke-linejoin:round}"
						   ".wf-diagram .wf-extra{fill:none}"
						   ".wf-diagram .wf-note .wf-shape{stroke-dasharray:4 3}\n"
						   ".wf-diagram .wf-line{fill:none;stroke-width:1.3}"
						   ".wf-diagram .wf-up .wf-line,.wf-diagram .wf-from-any .wf-line{stroke-dasharray:5 3}\n");
	append_colours(out, false);
	appendStringInfoString(out, "@media (prefers-color-scheme:dark){\n");
	append_colours(out, true);
	appendStringInfoString(out, "}\n</style>\n");
}

/* ------------------------------------------------------------------- boxes */

/*
 * Where a letter of an outline stands, in this box.
 */
static double
side_of(const WfBox *box, char letter)
{
	switch (letter)
	{
		case 'l':
			return box->x - box->width / 2;
		case 'r':
			return box->x + box->width / 2;
		case 'x':
			return box->x;
		case 't':
			return box->y;
		case 'b':
			return box->y + box->height;
		default:
			return box->y + box->height / 2;
	}
}

static void
append_outline(StringInfo out, const WfBox *box, const char *class, const char *outline)
{
	appendStringInfo(out, "<path class=\"%s\" d=\"", class);
	for (const char *c = outline; *c;)
	{
		if (*c == ' ')
			c++;
		else if (*c >= 'A' && *c <= 'Z')
			appendStringInfoChar(out, *c++);
		else
		{
			double		value = side_of(box, *c++);

			if (*c == '+' || *c == '-')
				value += strtod(c, (char **) &c);
			appendStringInfoChar(out, ' ');
			wf_svg_number(out, value);
		}
	}
	appendStringInfoChar(out, '"');
}

static void
append_text(StringInfo out, const char *class, double x, double y, const char *text)
{
	appendStringInfo(out, "<text class=\"%s\" x=\"", class);
	wf_svg_number(out, x);
	appendStringInfoString(out, "\" y=\"");
	wf_svg_number(out, y);
	appendStringInfoString(out, "\">");
	wf_xml_append(out, text);
	appendStringInfoString(out, "</text>");
}

/*
 * How many items stand here, at the right end of the box.
 */
static void
append_badge(StringInfo out, const WfBox *box)
{
	double		width = wf_text_width(box->badge, WF_DETAIL_SIZE) + 8;
	double		x = box->x + box->width / 2 - width / 2 - 11;
	double		y = box->y + box->height / 2;

	appendStringInfoString(out, "<rect class=\"wf-badge\" x=\"");
	wf_svg_number(out, x - width / 2);
	appendStringInfoString(out, "\" y=\"");
	wf_svg_number(out, y - 7.5);
	appendStringInfoString(out, "\" width=\"");
	wf_svg_number(out, width);
	appendStringInfoString(out, "\" height=\"15\" rx=\"7.5\"/>");
	append_text(out, "wf-count", x, y + 3.5, box->badge);
}

void
wf_svg_box(StringInfo out, const WfBox *box)
{
	const Shape *shape = shape_of(box);
	bool		is_state = strcmp(shape->colour, "note") != 0 && strcmp(shape->colour, "dot") != 0;
	double		rim = strcmp(box->kind, "sql") == 0 ? WF_RIM : 0;
	double		middle = box->y + (box->height + rim) / 2;

	appendStringInfo(out, "<g class=\"%s wf-kind-%s wf-%s\"><title>", is_state ? "wf-state" : "wf-mark",
					 shape->kind == NULL ? "other" : shape->kind,
					 strcmp(shape->colour, "end") == 0 ? box->tone : shape->colour);
	wf_xml_append(out, box->tip);
	appendStringInfoString(out, "</title>");
	append_outline(out, box, "wf-shape", shape->outline);
	appendStringInfoString(out, "/>");
	if (box->heat > 0)
	{
		append_outline(out, box, "wf-heat", shape->outline);
		appendStringInfo(out, " fill-opacity=\"0.%02d\"/>", 4 * Min(box->heat, 9));
	}
	if (shape->extra != NULL)
	{
		append_outline(out, box, "wf-extra", shape->extra);
		appendStringInfoString(out, "/>");
	}
	if (is_state || strcmp(shape->colour, "note") == 0)
		append_text(out, "wf-name", box->x, middle + (box->detail == NULL ? 4 : -2), box->name);
	if (box->detail != NULL)
		append_text(out, "wf-detail", box->x, middle + 12, box->detail);
	if (box->badge != NULL)
		append_badge(out, box);
	appendStringInfoString(out, "</g>\n");
}
