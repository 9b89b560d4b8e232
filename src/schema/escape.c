/*
 * escape.c
 *	  The escapes, classes and brackets of a pattern of ECMA-262, in the words of
 *	  the server's regular expressions.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "schema/rewrite.h"
#include "schema/schema_internal.h"

/* What the classes are, within brackets; and what they are not. */
#define DIGIT "0-9"
#define WORD "A-Za-z0-9_"
#define SPACE "\\t-\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
#define NO_DIGIT "\\u0001-/:-\\U0010ffff"
#define NO_WORD "\\u0001-/:-@\\[-\\^`\\{-\\U0010ffff"
#define NO_SPACE "\\u0001-\\u0008\\u000e-\\u001f!-\\u009f\\u00a1-\\u167f\\u1681-\\u1fff" \
	"\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\U0010ffff"


void
wf_rewrite_refuse(Rewrite *rewrite, const char *what)
{
	if (rewrite->problem == NULL)
		rewrite->problem = psprintf("pattern is not supported: %s", what);
}

/*
 * What stands for a class within brackets; NULL when the letter is none.
 */
static const char *
class_of(char letter)
{
	switch (letter)
	{
		case 'd':
			return DIGIT;
		case 'D':
			return NO_DIGIT;
		case 'w':
			return WORD;
		case 'W':
			return NO_WORD;
		case 's':
			return SPACE;
		case 'S':
			return NO_SPACE;
		default:
			return NULL;
	}
}

static int
hex_digits(const char *text)
{
	return strspn(text, "0123456789abcdefABCDEF");
}

static unsigned int
hex_value(const char *text, int length)
{
	return (unsigned int) strtoul(pnstrdup(text, length), NULL, 16);
}

/*
 * A code point above the first 65,536 may be written as two halves.
 */
static void
rewrite_unit(Rewrite *rewrite)
{
	unsigned int code = hex_value(rewrite->at, 4);
	unsigned int low = 0;

	rewrite->at += 4;
	if (code >= 0xd800 && code <= 0xdbff && rewrite->at[0] == '\\' && rewrite->at[1] == 'u' &&
		hex_digits(rewrite->at + 2) >= 4)
		low = hex_value(rewrite->at + 2, 4);
	if (low >= 0xdc00 && low <= 0xdfff)
	{
		rewrite->at += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	if (code >= 0xd800 && code <= 0xdfff)
		wf_rewrite_refuse(rewrite, "half a code point");
	appendStringInfo(&rewrite->out, "\\U%08x", code);
}

/*
 * \xHH, \uHHHH and \u{H...}; rewrite->at is behind the letter.
 */
static void
rewrite_code(Rewrite *rewrite, char letter)
{
	if (letter == 'u' && *rewrite->at == '{')
	{
		int			digits = hex_digits(rewrite->at + 1);

		if (digits == 0 || digits > 6 || rewrite->at[1 + digits] != '}' ||
			hex_value(rewrite->at + 1, digits) > 0x10ffff)
			wf_rewrite_refuse(rewrite, "\\u{ wants a code point in hexadecimal digits");
		else
		{
			appendStringInfo(&rewrite->out, "\\U%08x", hex_value(rewrite->at + 1, digits));
			rewrite->at += digits + 2;
		}
	}
	else if (hex_digits(rewrite->at) < (letter == 'x' ? 2 : 4))
		wf_rewrite_refuse(rewrite, "\\x wants two and \\u four hexadecimal digits");
	else if (letter == 'u')
		rewrite_unit(rewrite);
	else
	{
		appendStringInfo(&rewrite->out, "\\u00%.2s", rewrite->at);
		rewrite->at += 2;
	}
}

/*
 * \p{...} and \P{...}, within brackets; rewrite->at is behind the letter.
 */
static void
rewrite_property(Rewrite *rewrite, bool is_negated)
{
	const char *end = *rewrite->at == '{' ? strchr(rewrite->at, '}') : NULL;
	char	   *property;

	if (end == NULL)
	{
		wf_rewrite_refuse(rewrite, "\\p wants a category: \\p{L}");
		return;
	}
	property = pnstrdup(rewrite->at + 1, end - rewrite->at - 1);
	rewrite->at = end + 1;
	if (GetDatabaseEncoding() != PG_UTF8)
		wf_rewrite_refuse(rewrite, "\\p in a database that is not in UTF-8");
	else if (!wf_add_category(&rewrite->out, property, is_negated))
		wf_rewrite_refuse(rewrite, psprintf("\\p{%s}; the general categories are known, as \\p{L} or \\p{Nd}", property));
}

/* Whether a backslash at this place begins a class, such as \d. */
bool
wf_rewrite_is_class(const char *at)
{
	return at[0] == '\\' && at[1] != '\0' && strchr("dDwWsSpP", at[1]) != NULL;
}

/*
 * A class; rewrite->at is at the backslash.
 */
void
wf_rewrite_class(Rewrite *rewrite, bool is_in_brackets)
{
	char		letter = rewrite->at[1];

	rewrite->at += 2;
	if (!is_in_brackets)
		appendStringInfoChar(&rewrite->out, '[');
	if (letter == 'p' || letter == 'P')
		rewrite_property(rewrite, letter == 'P');
	else
		appendStringInfoString(&rewrite->out, class_of(letter));
	if (!is_in_brackets)
		appendStringInfoChar(&rewrite->out, ']');
}

/*
 * An escaped character, in or out of brackets; rewrite->at is behind the backslash.
 */
void
wf_rewrite_escape(Rewrite *rewrite)
{
	char		letter = *rewrite->at;

	if (letter == '\0')
	{
		wf_rewrite_refuse(rewrite, "it ends with a backslash");
		return;
	}
	rewrite->at++;
	if (letter == 'x' || letter == 'u')
		rewrite_code(rewrite, letter);
	else if (letter == 'c' && isalpha((unsigned char) *rewrite->at))
		appendStringInfo(&rewrite->out, "\\u%04x", *rewrite->at++ & 0x1f);
	else if (letter == '0' && !isdigit((unsigned char) *rewrite->at))
		appendStringInfoString(&rewrite->out, "\\u0000");
	else if (strchr("fnrtvb", letter) != NULL)
		appendStringInfo(&rewrite->out, "\\%c", letter);
	else if (isalnum((unsigned char) letter) || letter == '_' || IS_HIGHBIT_SET(letter))
		wf_rewrite_refuse(rewrite, psprintf("the escape \\%c", IS_HIGHBIT_SET(letter) ? '?' : letter));
	else
		appendStringInfo(&rewrite->out, "\\%c", letter);
}

/*
 * A class or a character within brackets.
 */
static void
rewrite_bracketed(Rewrite *rewrite)
{
	int			length = pg_mblen(rewrite->at);

	if (wf_rewrite_is_class(rewrite->at))
		wf_rewrite_class(rewrite, true);
	else if (*rewrite->at == '\\')
	{
		rewrite->at++;
		wf_rewrite_escape(rewrite);
	}
	else
	{
		if (*rewrite->at == '[' || *rewrite->at == '-')
			appendStringInfoChar(&rewrite->out, '\\');
		appendBinaryStringInfo(&rewrite->out, rewrite->at, length);
		rewrite->at += length;
	}
}

/*
 * One thing within brackets, or a range of two characters.  A "-" that is not
 * between two, or that has a class beside it, is itself.
 */
static void
rewrite_range(Rewrite *rewrite)
{
	bool		has_class = wf_rewrite_is_class(rewrite->at);

	rewrite_bracketed(rewrite);
	if (rewrite->at[0] != '-' || rewrite->at[1] == ']' || rewrite->at[1] == '\0')
		return;
	rewrite->at++;
	has_class |= wf_rewrite_is_class(rewrite->at);
	appendStringInfoString(&rewrite->out, has_class ? "\\-" : "-");
	rewrite_bracketed(rewrite);
}

/*
 * A bracket expression; rewrite->at is behind "[".
 */
void
wf_rewrite_brackets(Rewrite *rewrite)
{
	bool		is_negated = *rewrite->at == '^';

	if (is_negated)
		rewrite->at++;
	if (*rewrite->at == ']')
	{
		rewrite->at++;
		if (is_negated)
			appendStringInfoChar(&rewrite->out, '.');	/* anything at all */
		else
			wf_rewrite_refuse(rewrite, "[] matches nothing");
		return;
	}
	appendStringInfoString(&rewrite->out, is_negated ? "[^" : "[");
	while (*rewrite->at != ']' && *rewrite->at != '\0' && rewrite->problem == NULL)
		rewrite_range(rewrite);
	if (*rewrite->at == '\0')
		wf_rewrite_refuse(rewrite, "a [ is not closed");
	appendStringInfoChar(&rewrite->out, ']');
	if (rewrite->problem == NULL)
		rewrite->at++;
}
