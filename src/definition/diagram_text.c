/*
 * diagram_text.c
 *	  Texts of a drawing: how wide they are, where they break, how XML has them.
 *
 * Which font a viewer has nobody knows.  Widths are those of DejaVu Sans, the
 * widest of the usual sans-serif fonts, so that a text never leaves its place.
 */
#include "postgres.h"

#include "definition/diagram.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wf_mermaid_label);
PG_FUNCTION_INFO_V1(wf_dot_text);

/* Advance of the characters from 32 to 126, in hundredths of the size. */
static const uint8 advance[] = {
	32, 41, 46, 84, 64, 95, 78, 28, 39, 39, 50, 84, 32, 37, 32, 34,
	64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84, 54,
	100, 69, 69, 70, 77, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
	61, 79, 70, 64, 62, 74, 69, 99, 69, 62, 69, 39, 34, 39, 84, 50,
	50, 62, 64, 55, 64, 62, 36, 64, 64, 28, 28, 58, 28, 98, 64, 62,
	64, 64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84
};

#define ELLIPSIS "..."

/* At an arrow. */
#define MOST_LINES	4

/* Of one character; what takes two columns of a terminal is as wide as high. */
static double
character_width(const char *text)
{
	unsigned char c = (unsigned char) *text;

	if (c >= 32 && c <= 126)
		return advance[c - 32] / 100.0;
	if (c < 128)
		return 0.32;

	return pg_encoding_dsplen(GetDatabaseEncoding(), text) > 1 ? 1.05 : 0.8;
}

double
wf_text_width(const char *text, double size)
{
	double		width = 0;

	for (; *text; text +=pg_mblen(text))
		width += character_width(text);

	return width * size;
}

/*
 * The text, or as much of its beginning as fits, with dots after it.
 */
char *
wf_text_fit(const char *text, double size, double width)
{
	double		room = width / size - wf_text_width(ELLIPSIS, 1);
	double		used = 0;
	const char *end = text;

	if (wf_text_width(text, size) <= width)
		return pstrdup(text);
	while (*end && used + character_width(end) <= room)
	{
		used += character_width(end);
		end += pg_mblen(end);
	}

	return psprintf("%.*s" ELLIPSIS, (int) (end - text), text);
}

/*
 * Words joined by commas, a new line where one would get wider than that; after
 * a few lines, how many words are left out.
 */
WfLines
wf_text_lines(char **words, int count, double size, double width)
{
	WfLines		lines = {0, palloc(sizeof(char *) * Max(count, 1)), 0};

	for (int i = 0; i < count; i++)
	{
		char	   *word = wf_text_fit(words[i], size, width);
		char	   *longer = NULL;

		if (lines.count > 0)
			longer = psprintf("%s, %s", lines.line[lines.count - 1], word);
		if (longer != NULL && wf_text_width(longer, size) <= width)
			lines.line[lines.count - 1] = longer;
		else if (lines.count < MOST_LINES)
			lines.line[lines.count++] = word;
		else
		{
			lines.line[lines.count++] = psprintf("and %d more", count - i);
			break;
		}
	}
	for (int i = 0; i < lines.count; i++)
	{
		if (i < lines.count - 1)
			lines.line[i] = psprintf("%s,", lines.line[i]);
		lines.width = Max(lines.width, wf_text_width(lines.line[i], size));
	}

	return lines;
}

static bool
is_control(char c)
{
	return (unsigned char) c < 32 || c == 127;
}

/*
 * The text between tags or quotes.  What XML cannot hold at all is shown as a
 * question mark.
 */
void
wf_xml_append(StringInfo out, const char *text)
{
	int			length;

	for (; *text; text +=length)
	{
		length = pg_mblen(text);
		if (*text == '&')
			appendStringInfoString(out, "&amp;");
		else if (*text == '<')
			appendStringInfoString(out, "&lt;");
		else if (*text == '>')
			appendStringInfoString(out, "&gt;");
		else if (*text == '"')
			appendStringInfoString(out, "&quot;");
		else if (*text == '\n' || *text == '\t' || *text == '\r')
			appendStringInfoChar(out, ' ');
		else if (is_control(*text))
			appendStringInfoChar(out, '?');
		else if (GetDatabaseEncoding() == PG_UTF8 &&
				 (strncmp(text, "\xEF\xBF\xBE", 3) == 0 || strncmp(text, "\xEF\xBF\xBF", 3) == 0))
			appendStringInfoChar(out, '?');
		else
			appendBinaryStringInfo(out, text, length);
	}
}

/*
 * _mermaid_label(label text) returns text: what would end the label, or the
 * line, is written as an entity.
 */
Datum
wf_mermaid_label(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = text_to_cstring(PG_GETARG_TEXT_PP(0)); *c; c++)
	{
		if (strchr("#;:\"<>", *c) != NULL)
			appendStringInfo(&out, "#%d;", *c);
		else
			appendStringInfoChar(&out, is_control(*c) ? ' ' : *c);
	}

	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/*
 * _dot_text(label text) returns text: a backslash would begin an escape.
 */
Datum
wf_dot_text(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *c = text_to_cstring(PG_GETARG_TEXT_PP(0)); *c; c++)
	{
		if (*c == '"' || *c == '\\')
			appendStringInfoChar(&out, '\\');
		appendStringInfoChar(&out, is_control(*c) ? ' ' : *c);
	}

	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}
