/*
 * selector.c
 *	  What the selectors of a document name, as far as that can be told without
 *	  data.
 */
#include "postgres.h"

#include <ctype.h>

#include "definition/definition_internal.h"
#include "definition/template.h"

List *
wf_template_selectors(const char *template)
{
	List	   *selectors = NIL;
	const char *end;

	if (wf_is_selector(template))
		return list_make1(pstrdup(template));
	for (const char *p = template; (p = wf_next_placeholder(p, &end)) != NULL; p = end)
		selectors = lappend(selectors, pnstrdup(p + 1, end - p - 1));

	return selectors;
}

/*
 * Returns the length of a member's name that begins at start, or 0.
 */
static int
member_length(const char *start, bool quoted)
{
	int			length = strcspn(start, quoted ? "\"\\" : ".\"\\[]()*?@$ ");

	return quoted && start[length] != '"' ? 0 : length;
}

bool
wf_selector_members(const char *selector, List **members)
{
	const char *p;

	*members = NIL;
	if (selector == NULL || selector[0] != '$')
		return false;
	for (p = selector + 1; *p == '.';)
	{
		bool		quoted = p[1] == '"';
		const char *start = p + (quoted ? 2 : 1);
		int			length = member_length(start, quoted);

		if (length == 0)
			return false;
		*members = lappend(*members, pnstrdup(start, length));
		p = start + length + (quoted ? 1 : 0);
	}

	return *p == '\0';
}

char *
wf_selector_root(const char *selector)
{
	bool		quoted;
	const char *start;
	int			length;

	if (selector[0] != '$' || selector[1] != '.')
		return NULL;
	quoted = selector[2] == '"';
	start = selector + (quoted ? 3 : 2);
	length = member_length(start, quoted);
	if (length == 0 || (!quoted && start[length] == '('))
		return NULL;			/* "$.size()" names no member */

	return pnstrdup(start, length);
}

/*
 * Whether a selector begins with that member: "$.each.id" with "each".
 */
static bool
begins_with(const char *selector, const char *member)
{
	size_t		length = strlen(member);
	char		next;

	if (strncmp(selector, "$.", 2) != 0 || strncmp(selector + 2, member, length) != 0)
		return false;
	next = selector[2 + length];

	return !isalnum((unsigned char) next) && next != '_' && next != '$' && !IS_HIGHBIT_SET(next);
}

bool
wf_selects_each(const char *selector)
{
	return begins_with(selector, "each") || begins_with(selector, "index");
}
