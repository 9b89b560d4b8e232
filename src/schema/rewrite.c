/*
 * rewrite.c
 *	  Makes a regular expression of the server of one of ECMA-262.
 *
 * Where the two differ a pattern is rewritten, or refused: a dot does not match
 * the end of a line, \d, \w, \s and \b are about ASCII (and the white space of
 * Unicode), \p{...} is a category of Unicode, \x has two digits, groups may have
 * names, a bracket in brackets is itself, counts may be large.  A reference to
 * a group is taken only where the group has matched for sure.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "schema/rewrite.h"
#include "schema/schema_internal.h"

#define WORD "A-Za-z0-9_"
#define LINE_ENDS "\\n\\r\\u2028\\u2029"
#define BOUNDARY "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"
#define NO_BOUNDARY "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))"

/* The most that a count may be: the server's engine repeats what is counted. */
#define MAX_COUNT 5000
#define SERVERS_MAX_COUNT 255

/* The most that is given to the server's engine, in bytes, and to do (cost.c). */
#define MAX_LENGTH (256 * 1024)
#define MAX_COST 3e6

/* The deepest that groups may stand in each other. */
#define MAX_DEPTH 1000

/* -------------------------------------------------------------------- groups */

static bool
is_in_look(const Rewrite *rewrite)
{
	for (int i = 0; i < rewrite->nframes; i++)
		if (rewrite->frames[i].is_look)
			return true;

	return false;
}

/*
 * Notes a group that captures; returns its number.
 */
static int
add_capture(Rewrite *rewrite, const char *name, int name_length)
{
	const Frame *around = &rewrite->frames[rewrite->nframes - 1];
	Capture    *capture;

	rewrite->ngroups++;
	rewrite->groups = repalloc(rewrite->groups, sizeof(Capture) * (rewrite->ngroups + 1));
	capture = &rewrite->groups[rewrite->ngroups];
	*capture = (Capture)
	{
		.name = name,.name_length = name_length,
			.parent = around->id,.alternative = around->alternative,.is_sure = !is_in_look(rewrite),
	};

	/*
	 * what looks ahead or back captures nothing for the server, and shifts
	 * the numbers
	 */
	if (rewrite->captures && !capture->is_sure)
		wf_rewrite_refuse(rewrite, "a reference beside a group in (?= or (?!");

	return rewrite->ngroups;
}

static void
push_frame(Rewrite *rewrite, int start, int capture, bool is_look)
{
	if (rewrite->nframes > MAX_DEPTH)
		wf_rewrite_refuse(rewrite, psprintf("more than %d groups in each other", MAX_DEPTH));
	rewrite->frames = repalloc(rewrite->frames, sizeof(Frame) * (rewrite->nframes + 1));
	rewrite->frames[rewrite->nframes++] = (Frame)
	{
		.start = start,.id = rewrite->nids++,.capture = capture,.is_look = is_look,
	};
}

/*
 * What opens a group; rewrite->at is behind "(".
 */
static void
rewrite_group(Rewrite *rewrite)
{
	static const char *const known[] = {"?:", "?=", "?!", "?<=", "?<!"};
	int			start = rewrite->out.len;
	const char *name = NULL;
	int			length = 0;

	for (int i = 0; i < lengthof(known); i++)
	{
		if (strncmp(rewrite->at, known[i], strlen(known[i])) != 0)
			continue;
		appendStringInfo(&rewrite->out, "(%s", known[i]);
		rewrite->at += strlen(known[i]);
		push_frame(rewrite, start, 0, i > 0);
		return;
	}
	if (rewrite->at[0] == '?' && rewrite->at[1] == '<')
	{
		name = rewrite->at + 2;
		length = strcspn(name, ">");
		if (length == 0 || name[length] == '\0')
			wf_rewrite_refuse(rewrite, "a name of a group is not closed");
		else
			rewrite->at = name + length + 1;
	}
	else if (rewrite->at[0] == '?')
		wf_rewrite_refuse(rewrite, "a group begins with (?");
	appendStringInfoString(&rewrite->out, rewrite->captures ? "(" : "(?:");
	push_frame(rewrite, start, add_capture(rewrite, name, length), false);
}

/*
 * The end of a group; rewrite->at is behind ")".
 */
static void
close_group(Rewrite *rewrite)
{
	Frame	   *frame = &rewrite->frames[rewrite->nframes - 1];

	if (rewrite->nframes == 1)
	{
		wf_rewrite_refuse(rewrite, "a ) closes nothing");
		return;
	}
	appendStringInfoChar(&rewrite->out, ')');
	if (frame->capture > 0)
		rewrite->groups[frame->capture].is_closed = true;
	rewrite->atom = frame->is_look ? -1 : frame->start;
	rewrite->atom_capture = frame->capture;
	rewrite->nframes--;
}

/*
 * Whether a group has captured something whenever a place is reached, in this
 * round of whatever is repeated around both: else a reference to it would match nothing
 * in JavaScript, and never in the server.
 */
static bool
has_captured(const Rewrite *rewrite, const Capture *capture)
{
	for (int i = 0; i < rewrite->nframes; i++)
		if (rewrite->frames[i].id == capture->parent)
			return capture->is_closed && capture->is_sure &&
				rewrite->frames[i].alternative == capture->alternative;

	return false;
}

/*
 * \1 or \k<name>; rewrite->at is behind the backslash.
 */
static void
rewrite_reference(Rewrite *rewrite)
{
	int			number = 0;

	rewrite->has_references = true;
	if (*rewrite->at == 'k')
	{
		int			length = rewrite->at[1] == '<' ? strcspn(rewrite->at, ">") - 2 : 0;

		for (int i = 1; i <= rewrite->ngroups && length > 0; i++)
			if (rewrite->groups[i].name_length == length &&
				strncmp(rewrite->groups[i].name, rewrite->at + 2, length) == 0)
				number = i;
		rewrite->at += Min(length + 3, strlen(rewrite->at));
	}
	else
		for (; isdigit((unsigned char) *rewrite->at); rewrite->at++)
			number = Min(number * 10 + (*rewrite->at - '0'), MAX_COUNT);

	if (number == 0 || number > rewrite->ngroups || is_in_look(rewrite) ||
		!has_captured(rewrite, &rewrite->groups[number]))
		wf_rewrite_refuse(rewrite, "a reference to a group that may not have matched before");
	appendStringInfo(&rewrite->out, "(?:\\%d)", number);
}

/* --------------------------------------------------------------------- counts */

/*
 * Appends what is repeated so often, in counts that the server knows.
 */
static void
add_count(StringInfo out, const char *atom, int count, const char *least)
{
	int			rounds = count / SERVERS_MAX_COUNT;
	int			rest = count % SERVERS_MAX_COUNT;

	if (rounds > 0)
		appendStringInfo(out, "(?:%s{%s%d}){%d}", atom, least, SERVERS_MAX_COUNT, rounds);
	if (rest > 0)
		appendStringInfo(out, "%s{%s%d}", atom, least, rest);
}

/*
 * A count that is above what the server takes.
 */
static void
rewrite_large_count(Rewrite *rewrite, int least, int most)
{
	char	   *atom = pstrdup(rewrite->out.data + rewrite->atom);

	rewrite->out.len = rewrite->atom;
	rewrite->out.data[rewrite->atom] = '\0';
	appendStringInfoString(&rewrite->out, "(?:");
	add_count(&rewrite->out, atom, least, "");
	if (most < 0)
		appendStringInfo(&rewrite->out, "%s*", atom);
	else
		add_count(&rewrite->out, atom, most - least, "0,");
	appendStringInfoChar(&rewrite->out, ')');
}

/*
 * {n}, {n,} or {n,m}; rewrite->at is behind "{".
 */
static void
rewrite_count(Rewrite *rewrite)
{
	char	   *end;
	long		least = strtol(rewrite->at, &end, 10);
	long		most = least;

	if (*end == ',' && isdigit((unsigned char) end[1]))
		most = strtol(end + 1, &end, 10);
	else if (*end == ',')
	{
		most = -1;
		end++;
	}
	if (*end != '}' || (most >= 0 && most < least))
		wf_rewrite_refuse(rewrite, "a { that is no count");
	else if (Max(least, most) > MAX_COUNT)
		wf_rewrite_refuse(rewrite, psprintf("a count above %d", MAX_COUNT));
	else if (Max(least, most) <= SERVERS_MAX_COUNT)
		appendStringInfo(&rewrite->out, "{%.*s}", (int) (end - rewrite->at), rewrite->at);
	else if (rewrite->captures)
		wf_rewrite_refuse(rewrite, "a count above 255 beside a reference");
	else
		rewrite_large_count(rewrite, least, most);
	rewrite->at = end + (*end == '}');
}

/*
 * What repeats; rewrite->at is behind its first letter.  Being lazy changes what
 * is captured only.
 */
static void
rewrite_repetition(Rewrite *rewrite, char letter)
{
	if (rewrite->atom < 0)
		wf_rewrite_refuse(rewrite, "there is nothing to repeat");
	else if (letter == '{')
		rewrite_count(rewrite);
	else
		appendStringInfoChar(&rewrite->out, letter);
	if (*rewrite->at == '?')
	{
		rewrite->at++;
		if (rewrite->captures)
			appendStringInfoChar(&rewrite->out, '?');
	}
	if (rewrite->atom_capture > 0)
		rewrite->groups[rewrite->atom_capture].is_sure = false;
	rewrite->atom = -1;
}

/* --------------------------------------------------------------------- whole */

/*
 * What stands for a character that a backslash is before.
 */
static void
rewrite_escaped(Rewrite *rewrite)
{
	char		letter = rewrite->at[0];

	rewrite->atom = rewrite->out.len;
	if (wf_rewrite_is_class(rewrite->at - 1))
	{
		rewrite->at--;
		wf_rewrite_class(rewrite, false);
	}
	else if (letter == 'b' || letter == 'B')
	{
		rewrite->at++;
		rewrite->atom = -1;
		appendStringInfoString(&rewrite->out, letter == 'b' ? BOUNDARY : NO_BOUNDARY);
	}
	else if ((letter >= '1' && letter <= '9') || letter == 'k')
		rewrite_reference(rewrite);
	else
		wf_rewrite_escape(rewrite);
}

/*
 * A character that means something; rewrite->at is behind it.
 */
static void
rewrite_special(Rewrite *rewrite, char letter)
{
	rewrite->atom_capture = 0;
	rewrite->atom = rewrite->out.len;
	switch (letter)
	{
		case '\\':
			rewrite_escaped(rewrite);
			break;
		case '[':
			wf_rewrite_brackets(rewrite);
			break;
		case '(':
			rewrite_group(rewrite);
			rewrite->atom = -1;
			break;
		case ')':
			close_group(rewrite);
			break;
		case '|':
			rewrite->frames[rewrite->nframes - 1].alternative++;
			/* FALLTHROUGH */
		case '^':
		case '$':
			appendStringInfoChar(&rewrite->out, letter);
			rewrite->atom = -1;
			break;
		case '.':
			appendStringInfoString(&rewrite->out, "[^" LINE_ENDS "]");
			break;
		default:				/* a { that begins no count */
			appendStringInfo(&rewrite->out, "\\%c", letter);
	}
}

/*
 * Anything else is itself.
 */
static void
rewrite_plain(Rewrite *rewrite)
{
	int			length = pg_mblen(rewrite->at);

	rewrite->atom = rewrite->out.len;
	rewrite->atom_capture = 0;
	appendBinaryStringInfo(&rewrite->out, rewrite->at, length);
	rewrite->at += length;
}

static Rewrite
rewrite_all(const char *pattern, bool captures)
{
	Rewrite		rewrite = {
		.at = pattern,.captures = captures,.atom = -1,
		.frames = palloc(sizeof(Frame)),.groups = palloc(sizeof(Capture)),
	};

	initStringInfo(&rewrite.out);
	push_frame(&rewrite, 0, 0, false);
	while (*rewrite.at != '\0' && rewrite.problem == NULL)
	{
		char		letter = *rewrite.at;

		if (rewrite.out.len > MAX_LENGTH)
			wf_rewrite_refuse(&rewrite, "it is too long when its counts and categories are written out");
		if (strchr("*+?", letter) != NULL || (letter == '{' && isdigit((unsigned char) rewrite.at[1])))
		{
			rewrite.at++;
			rewrite_repetition(&rewrite, letter);
		}
		else if (strchr("\\[()|^$.{", letter) != NULL)
		{
			rewrite.at++;
			rewrite_special(&rewrite, letter);
		}
		else
			rewrite_plain(&rewrite);
	}
	if (rewrite.nframes > 1)
		wf_rewrite_refuse(&rewrite, "a ( is not closed");

	return rewrite;
}

/*
 * Returns the pattern as the server's engine takes it; and why not, in
 * *problem.  Groups capture only where something refers to one.
 */
char *
wf_pattern_rewrite(const char *pattern, char **problem)
{
	Rewrite		rewrite = rewrite_all(pattern, false);

	if (rewrite.has_references && rewrite.problem == NULL)
		rewrite = rewrite_all(pattern, true);
	if (rewrite.problem == NULL && wf_pattern_cost(rewrite.out.data) > MAX_COST)
		wf_rewrite_refuse(&rewrite, "what it counts takes too long to be written out");
	*problem = rewrite.problem;

	return rewrite.out.data;
}
