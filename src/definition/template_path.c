/*
 * template_path.c
 *	  Values in a path: none of them leads to another place.
 */
#include "postgres.h"

#include "definition/definition_internal.h"
#include "definition/template.h"

/*
 * Appends a value to a path, so that nothing in it can end the path segment.
 * An empty one is refused: "/accounts/" is another place than "/accounts/7".
 */
void
wf_path_append_value(StringInfo out, const char *value, const char *selector)
{
	if (value[0] == '\0' && strchr(out->data, '?') == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("selector \"%s\" finds an empty text, which cannot be part of a path",
						selector),
				 errdetail("The request would go to another path than the definition says."),
				 errhint("Correct the value in the item's data.")));

	for (const unsigned char *p = (const unsigned char *) value; *p != '\0'; p++)
	{
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL)
			appendStringInfoChar(out, *p);
		else
			appendStringInfo(out, "%%%02X", *p);
	}
}

bool
wf_path_is_plain(const char *path)
{
	const char *segment = path;

	for (const char *p = path;; p++)
	{
		if (*p != '/' && *p != '?' && *p != '\0')
			continue;
		if ((p - segment == 1 && segment[0] == '.') ||
			(p - segment == 2 && segment[0] == '.' && segment[1] == '.'))
			return false;
		if (*p != '/')
			return true;
		segment = p + 1;
	}
}

void
wf_path_require_plain(const char *path)
{
	if (!wf_path_is_plain(path))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("path \"%s\" has a segment \".\" or \"..\"", path),
				 errdetail("The request would go to another path than the definition says."),
				 errhint("Correct the value in the item's data.")));
}
