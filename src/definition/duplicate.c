/*
 * duplicate.c
 *	  Keys that an object of a document has twice.
 *
 * jsonb keeps the last of them silently; a document that says something twice
 * is refused instead.  The text is valid JSON already (the type json saw to
 * that), so this walk only follows its brackets and strings.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

static const char *walk(WfCheck *check, const char *p);

static const char *
skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;

	return p;
}

static const char *
skip_string(const char *p)
{
	for (p++; *p != '"'; p++)
		if (*p == '\\')
			p++;

	return p + 1;
}

/*
 * Returns the string that begins at p, without quotes and escapes: "\u0061"
 * and "a" are the same key.
 */
static char *
read_string(const char *p, const char **end)
{
	char	   *quoted;

	*end = skip_string(p);
	quoted = pnstrdup(p, *end - p);
	if (strchr(quoted, '\\') != NULL)
		return wf_jsonb_value_text(wf_jsonb_root(wf_jsonb_from_cstring(quoted)));

	return pnstrdup(p + 1, *end - p - 2);
}

static bool
is_member(List *keys, const char *key)
{
	ListCell   *cell;

	foreach(cell, keys)
		if (strcmp(lfirst(cell), key) == 0)
		return true;

	return false;
}

static const char *
walk_object(WfCheck *check, const char *p)
{
	List	   *keys = NIL;

	for (p = skip_space(p + 1); *p != '}'; p = skip_space(p))
	{
		char	   *key;
		int			mark;

		if (*p == ',')
			p = skip_space(p + 1);
		key = read_string(p, &p);
		mark = wf_check_enter(check, key);
		if (is_member(keys, key))
			wf_check_error(check, "duplicate_key", "keep one of them",
						   "the key stands here twice");
		keys = lappend(keys, key);
		p = walk(check, skip_space(p) + 1);
		wf_check_leave(check, mark);
	}

	return p + 1;
}

static const char *
walk_array(WfCheck *check, const char *p)
{
	int			index = 0;

	for (p = skip_space(p + 1); *p != ']'; p = skip_space(p))
	{
		int			mark;

		if (*p == ',')
			p++;
		mark = wf_check_enter_element(check, index++);
		p = walk(check, p);
		wf_check_leave(check, mark);
	}

	return p + 1;
}

/*
 * Walks over the value that begins at or after p; returns what follows it.
 */
static const char *
walk(WfCheck *check, const char *p)
{
	check_stack_depth();
	p = skip_space(p);
	if (*p == '{')
		return walk_object(check, p);
	if (*p == '[')
		return walk_array(check, p);
	if (*p == '"')
		return skip_string(p);
	while (*p != '\0' && strchr(",]} \t\r\n", *p) == NULL)
		p++;

	return p;
}

void
wf_check_duplicate_keys(WfCheck *check, const char *json)
{
	(void) walk(check, json);
}
