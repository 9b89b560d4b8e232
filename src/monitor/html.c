/*
 * html.c
 *	  Texts of users in a page that others open.
 *
 * A page is bytes in a file, written by whatever client, in whatever encoding
 * that has.  So it is ASCII: all else is written as character references, and
 * says the same wherever it is opened.
 */
#include "postgres.h"

#include "definition/diagram.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wf_html_text);
PG_FUNCTION_INFO_V1(wf_html_page);

/* What stands where a character can be neither shown nor written. */
#define REPLACEMENT 0xFFFD

/*
 * _html(value text) returns text: as it may stand between tags or in double
 * quotes.
 */
Datum
wf_html_text(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	wf_xml_append(&out, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/*
 * A reference to one of the characters 0x80 to 0x9f means another one in HTML,
 * and to what is no character nothing at all.
 */
static void
append_reference(StringInfo out, pg_wchar c)
{
	bool		is_control = c < 0xA0;
	bool		is_none = (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);

	appendStringInfo(out, "&#%u;", is_control || is_none ? REPLACEMENT : (unsigned) c);
}

static void
append_utf8(StringInfo out, const char *text, int length)
{
	const char *end = text +length;

	while (text <end)
	{
		if (!IS_HIGHBIT_SET(*text))
			appendStringInfoChar(out, *text ++);
		else
		{
			append_reference(out, utf8_to_unicode((const unsigned char *) text));
			text	  +=pg_utf_mblen((const unsigned char *) text);
		}
	}
}

/* Bytes that nobody has said the meaning of. */
static void
append_unknown(StringInfo out, const char *text, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (!IS_HIGHBIT_SET(text[i]))
			appendStringInfoChar(out, text[i]);
		else
			append_reference(out, REPLACEMENT);
	}
}

/*
 * _html_page(page text) returns text: the same in ASCII.
 */
Datum
wf_html_page(PG_FUNCTION_ARGS)
{
	text	   *page = PG_GETARG_TEXT_PP(0);
	char	   *data = VARDATA_ANY(page);
	int			length = VARSIZE_ANY_EXHDR(page);
	StringInfoData out;

	initStringInfo(&out);
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		append_unknown(&out, data, length);
	else
	{
		char	   *utf8 = pg_server_to_any(data, length, PG_UTF8);

		append_utf8(&out, utf8, utf8 == data ? length : (int) strlen(utf8));
	}

	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
