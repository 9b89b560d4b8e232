/*
 * pattern.c
 *	  Regular expressions of ECMA-262, run by the server's engine.
 *
 * JSON Schema borrows its patterns from JavaScript.  The server's "advanced" ones
 * are near, and where they differ a pattern is rewritten, or refused:
 * a dot does not match the end of a line, \d, \w, \s and \b are about ASCII
 * (and the white space of Unicode), \x has two digits, groups may have
 * names, a bracket in brackets is itself.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "schema/schema_internal.h"
#include "utils/builtins.h"

/* What the classes are, within brackets; and what they are not. */
#define DIGIT "0-9"
#define WORD "A-Za-z0-9_"
#define SPACE "\\t-\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
#define NO_DIGIT "\\u0001-/:-\\U0010ffff"
#define NO_WORD "\\u0001-/:-@\\[-\\^`\\{-\\U0010ffff"
#define NO_SPACE "\\u0001-\\u0008\\u000e-\\u001f!-\\u009f\\u00a1-\\u167f\\u1681-\\u1fff" \
	"\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\U0010ffff"

#define LINE_ENDS "\\n\\r\\u2028\\u2029"
#define BOUNDARY "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"
#define NO_BOUNDARY "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))"

typedef struct Rewrite
{
	const char *at;				/* in the pattern */
	StringInfoData out;
	char	   *problem;		/* NULL: none */
} Rewrite;

static void
refuse(Rewrite *rewrite, const char *what)
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

/*
 * \xHH, \uHHHH and \u{H...}; rewrite->at is behind the letter.
 */
static void
rewrite_code(Rewrite *rewrite, char letter)
{
	int			wanted = letter == 'x' ? 2 : 4;

	if (letter == 'u' && *rewrite->at == '{')
	{
		int			digits = hex_digits(rewrite->at + 1);

		if (digits == 0 || digits > 6 || rewrite->at[1 + digits] != '}')
			refuse(rewrite, "\\u{ wants a code point in hexadecimal digits");
		else
		{
			appendStringInfo(&rewrite->out, "\\U%08lx", strtoul(rewrite->at + 1, NULL, 16));
			rewrite->at += digits + 2;
		}
		return;
	}
	if (hex_digits(rewrite->at) < wanted)
		refuse(rewrite, "\\x wants two and \\u four hexadecimal digits");
	else
	{
		appendStringInfo(&rewrite->out, "\\u%s%.*s", letter == 'x' ? "00" : "", wanted, rewrite->at);
		rewrite->at += wanted;
	}
}

/*
 * What is escaped, in or out of brackets; rewrite->at is behind the backslash.
 */
static void
rewrite_escape(Rewrite *rewrite, bool is_in_brackets)
{
	char		letter = *rewrite->at;
	const char *class = class_of(letter);

	if (letter == '\0')
	{
		refuse(rewrite, "it ends with a backslash");
		return;
	}
	rewrite->at++;
	if (class != NULL)
		appendStringInfo(&rewrite->out, is_in_brackets ? "%s" : "[%s]", class);
	else if (letter == 'x' || letter == 'u')
		rewrite_code(rewrite, letter);
	else if (letter == 'b' && !is_in_brackets)
		appendStringInfoString(&rewrite->out, BOUNDARY);
	else if (letter == 'B' && !is_in_brackets)
		appendStringInfoString(&rewrite->out, NO_BOUNDARY);
	else if (letter == 'c' && isalpha((unsigned char) *rewrite->at))
		appendStringInfo(&rewrite->out, "\\u%04x", *rewrite->at++ & 0x1f);
	else if (strchr("fnrtvb", letter) != NULL)
		appendStringInfo(&rewrite->out, "\\%c", letter);
	else if (letter >= '1' && letter <= '9' && !is_in_brackets)
		appendStringInfo(&rewrite->out, "\\%c", letter);
	else if (isalnum((unsigned char) letter) || IS_HIGHBIT_SET(letter))
		refuse(rewrite, psprintf("the escape \\%c", IS_HIGHBIT_SET(letter) ? '?' : letter));
	else
		appendStringInfo(&rewrite->out, "\\%c", letter);
}

/*
 * A bracket expression; rewrite->at is behind "[".
 */
static void
rewrite_brackets(Rewrite *rewrite)
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
			refuse(rewrite, "[] matches nothing");
		return;
	}
	appendStringInfoString(&rewrite->out, is_negated ? "[^" : "[");
	while (*rewrite->at != ']' && rewrite->problem == NULL)
	{
		char		letter = *rewrite->at++;

		if (letter == '\0')
			refuse(rewrite, "a [ is not closed");
		else if (letter == '\\')
			rewrite_escape(rewrite, true);
		else if (letter == '[')
			appendStringInfoString(&rewrite->out, "\\[");
		else
			appendStringInfoChar(&rewrite->out, letter);
	}
	appendStringInfoChar(&rewrite->out, ']');
	if (rewrite->problem == NULL)
		rewrite->at++;
}

/*
 * What opens a group; rewrite->at is behind "(".
 */
static void
rewrite_group(Rewrite *rewrite)
{
	static const char *const known[] = {"?:", "?=", "?!", "?<=", "?<!"};

	appendStringInfoChar(&rewrite->out, '(');
	if (*rewrite->at != '?')
		return;
	for (int i = 0; i < lengthof(known); i++)
	{
		if (strncmp(rewrite->at, known[i], strlen(known[i])) != 0)
			continue;
		appendStringInfoString(&rewrite->out, known[i]);
		rewrite->at += strlen(known[i]);
		return;
	}
	if (rewrite->at[1] == '<' && strchr(rewrite->at, '>') != NULL)
		rewrite->at = strchr(rewrite->at, '>') + 1; /* a name */
	else
		refuse(rewrite, "a group begins with (?");
}

static char *
rewrite_pattern(const char *pattern, char **problem)
{
	Rewrite		rewrite = {.at = pattern};

	initStringInfo(&rewrite.out);
	if (strchr("*+?", *pattern) != NULL && *pattern != '\0')
		refuse(&rewrite, "there is nothing to repeat");
	while (*rewrite.at != '\0' && rewrite.problem == NULL)
	{
		char		letter = *rewrite.at++;

		if (letter == '\\')
			rewrite_escape(&rewrite, false);
		else if (letter == '[')
			rewrite_brackets(&rewrite);
		else if (letter == '(')
			rewrite_group(&rewrite);
		else if (letter == '.')
			appendStringInfoString(&rewrite.out, "[^" LINE_ENDS "]");
		else
			appendStringInfoChar(&rewrite.out, letter);
	}
	*problem = rewrite.problem;

	return rewrite.out.data;
}

/*
 * Returns the pattern for wf_pattern_matches(); NULL, and why, when it cannot be
 * had.
 */
text *
wf_pattern_compile(const char *pattern, char **problem)
{
	char	   *rewritten = rewrite_pattern(pattern, problem);
	int			length = strlen(rewritten);
	pg_wchar   *wide;
	regex_t		compiled;
	int			result;

	if (*problem != NULL)
		return NULL;
	wide = palloc(sizeof(pg_wchar) * (length + 1));
	result = pg_regcomp(&compiled, wide, pg_mb2wchar_with_len(rewritten, wide, length),
						REG_ADVANCED, C_COLLATION_OID);
	if (result != REG_OKAY)
	{
		char		why[100];

		pg_regerror(result, &compiled, why, sizeof(why));
		*problem = psprintf("pattern is not supported: %s", why);
		return NULL;
	}
	pg_regfree(&compiled);

	return cstring_to_text(rewritten);
}

/*
 * Whether a string has a part that matches.  The server keeps the last patterns
 * of a session compiled.
 */
bool
wf_pattern_matches(text *pattern, const char *string, int length)
{
	return RE_compile_and_execute(pattern, unconstify(char *, string), length, REG_ADVANCED,
								  C_COLLATION_OID, 0, NULL);
}
