/*
 * cost.c
 *	  What it takes to compile a pattern, before the server's engine tries.
 *
 * The engine repeats what is counted, and ties whatever may be followed by
 * something to all that it may be followed by.  That is little for "a{1,5000}", and
 * minutes for "(?:a*b*){1,1000}": what may be left out lets what stands
 * before it be followed by what stands behind it, and so on.  So these ties are
 * counted, part by part, and each is as dear as there are things left out
 * before its end.
 *
 * What is read is what rewrite.c has written, hence well-formed.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "schema/rewrite.h"

/* A part of a pattern; numbers that may be larger than any integer. */
typedef struct Part
{
	double		first;			/* characters that it may begin with */
	double		last;			/* or end with */
	double		skips;			/* things that may be left out before the last
								 * of its first ones, and one */
	double		cost;
	bool		may_be_empty;
} Part;

static const Part nothing = {.may_be_empty = true};
static const Part character = {.first = 1,.last = 1,.skips = 1,.cost = 1};

static Part
tie(Part left, Part right)
{
	return (Part)
	{
		.first = left.first + (left.may_be_empty ? right.first : 0),
			.last = right.last + (right.may_be_empty ? left.last : 0),
			.skips = left.skips + (left.may_be_empty ? right.skips : 0),
			.cost = left.cost + right.cost + left.last * right.first * right.skips,
			.may_be_empty = left.may_be_empty && right.may_be_empty,
	};
}

static Part
either(Part one, Part other)
{
	return (Part)
	{
		.first = one.first + other.first,
			.last = one.last + other.last,
			.skips = Max(one.skips, other.skips),
			.cost = one.cost + other.cost,
			.may_be_empty = one.may_be_empty || other.may_be_empty,
	};
}

/*
 * A part so often; most -1: without end.
 */
static Part
repeat(Part part, int least, int most)
{
	Part		all = nothing;

	if (most < 0)
	{
		all = part;
		all.cost += part.last * part.first * part.skips;
		all.may_be_empty |= least == 0;
		most = least = Max(least - 1, 0);
	}
	for (int i = least; i < most; i++)
	{
		all = tie(part, all);
		all.may_be_empty = true;
	}
	for (int i = 0; i < least; i++)
		all = tie(part, all);

	return all;
}

/* ------------------------------------------------------------------- reading */

static Part read_alternatives(const char **at);

static Part
read_group(const char **at)
{
	static const char *const looks[] = {"(?=", "(?!", "(?<=", "(?<!"};
	bool		is_look = false;
	int			length = strncmp(*at, "(?:", 3) == 0 ? 3 : 1;
	Part		part;

	for (int i = 0; i < lengthof(looks); i++)
		if (strncmp(*at, looks[i], strlen(looks[i])) == 0)
		{
			is_look = true;
			length = strlen(looks[i]);
		}
	*at += length;
	part = read_alternatives(at);
	*at += **at == ')';
	if (!is_look)
		return part;

	return (Part)
	{
		.cost = part.cost,.may_be_empty = true
	};
}

static int
escape_length(const char *at)
{
	if (at[1] == 'U' || at[1] == 'u')
		return at[1] == 'U' ? 10 : 6;

	return 1 + pg_mblen(at + 1);
}

static Part
read_atom(const char **at)
{
	const char *from = *at;

	switch (*from)
	{
		case '(':
			return read_group(at);
		case '^':
		case '$':
			(*at)++;
			return nothing;
		case '[':
			for (from++; *from != ']' && *from != '\0';)
				from += *from == '\\' ? escape_length(from) : pg_mblen(from);
			*at = from + (*from == ']');
			return character;
		case '\\':
			*at += escape_length(from);
			return character;
		default:
			*at += pg_mblen(from);
			return character;
	}
}

/*
 * An atom, and how often.
 */
static Part
read_piece(const char **at)
{
	Part		part = read_atom(at);
	int			least = 1;
	int			most = 1;
	char	   *end;

	switch (**at)
	{
		case '*':
		case '+':
		case '?':
			least = **at == '+';
			most = **at == '?' ? 1 : -1;
			(*at)++;
			break;
		case '{':
			least = most = strtol(*at + 1, &end, 10);
			if (*end == ',')
				most = end[1] == '}' ? -1 : strtol(end + 1, &end, 10);
			*at = strchr(end, '}') + 1;
			break;
		default:
			return part;
	}
	*at += **at == '?';			/* lazy */

	return repeat(part, least, most);
}

static Part
read_sequence(const char **at)
{
	int			max = 16;
	int			n = 0;
	Part	   *parts = palloc(sizeof(Part) * max);
	Part		all = nothing;

	while (**at != '\0' && **at != '|' && **at != ')')
	{
		if (n == max)
			parts = repalloc(parts, sizeof(Part) * (max *= 2));
		parts[n++] = read_piece(at);
	}
	while (n > 0)
		all = tie(parts[--n], all);
	pfree(parts);

	return all;
}

static Part
read_alternatives(const char **at)
{
	Part		part;

	if (stack_is_too_deep())
	{
		*at += strlen(*at);
		return (Part)
		{
			.cost = HUGE_VAL
		};
	}
	part = read_sequence(at);
	while (**at == '|')
	{
		(*at)++;
		part = either(part, read_sequence(at));
	}

	return part;
}

/*
 * About how many things the server's engine has to do for a pattern of its own.
 */
double
wf_pattern_cost(const char *pattern)
{
	return read_alternatives(&pattern).cost;
}
