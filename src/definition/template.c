/*
 * template.c
 *	  Values of a document that are taken from an item's data.
 *
 * A string of a document is one of three things: a selector ("$.a"), which
 * stands for the JSON value it finds; a text with placeholders ("/x/{$.a}"),
 * which stays a text; or a literal.  A backslash before the "$" that would
 * begin a selector or a placeholder makes it an ordinary character.
 *
 * Everything here is a pure function of the template and the data.
 */
#include "postgres.h"

#include "definition/template.h"

#include <ctype.h>

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

/*
 * What selectors look into: an item's data; for a child that it spawns also
 * {"each", "index"}, or NULL.
 */
typedef struct Scope
{
	Jsonb	   *data;
	Jsonb	   *each;
} Scope;

/* Where a value is put: decides what is escaped and what may be missing. */
typedef enum Place
{
	IN_BODY,
	IN_TEXT,
	IN_PATH,
	IN_KEY,
} Place;

bool
wf_is_selector(const char *string)
{
	return string[0] == '$' && (string[1] == '.' || string[1] == '\0');
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

/*
 * Returns the one value that a selector finds, or NULL.
 */
static Jsonb *
evaluate(const char *selector, const Scope *scope)
{
	Datum		path = DirectFunctionCall1(jsonpath_in, CStringGetDatum(selector));
	Jsonb	   *data = scope->each != NULL && wf_selects_each(selector) ? scope->each : scope->data;
	Jsonb	   *found;

	found = DatumGetJsonbP(DirectFunctionCall4(jsonb_path_query_array,
											   JsonbPGetDatum(data), path,
											   JsonbPGetDatum(wf_jsonb_empty_object()),
											   BoolGetDatum(false)));
	if (JB_ROOT_COUNT(found) == 0)
		return NULL;
	if (JB_ROOT_COUNT(found) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("selector \"%s\" finds %d values", selector,
						(int) JB_ROOT_COUNT(found)),
				 errdetail("A selector stands for one value."),
				 errhint("Select the whole array, or one element of it such as [0].")));

	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&found->root, 0));
}

/*
 * Returns the text of the value that a selector finds: a string as it is,
 * another value as JSON.  NULL for null and for nothing.
 */
static char *
evaluate_text(const char *selector, const Scope *scope)
{
	Jsonb	   *found = evaluate(selector, scope);

	return found == NULL ? NULL : wf_jsonb_value_text(wf_jsonb_root(found));
}

static char *
require_text(const char *selector, const Scope *scope)
{
	char	   *text = evaluate_text(selector, scope);

	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("selector \"%s\" finds nothing", selector),
				 errdetail("A key, a path or a text cannot be made of a value that is missing or null."),
				 errhint("Put the value into the item's data before this state, or correct the selector.")));

	return text;
}

/*
 * Returns the "}" that closes the placeholder whose selector begins here, or
 * NULL.  Braces and quoted strings inside the selector are skipped.
 */
static const char *
closing_brace(const char *selector)
{
	int			depth = 0;
	bool		quoted = false;

	for (const char *p = selector; *p != '\0'; p++)
	{
		if (quoted)
		{
			if (*p == '\\' && p[1] != '\0')
				p++;
			else if (*p == '"')
				quoted = false;
		}
		else if (*p == '"')
			quoted = true;
		else if (*p == '{')
			depth++;
		else if (*p == '}' && depth-- == 0)
			return p;
	}

	return NULL;
}

static bool
begins_placeholder(const char *p)
{
	return p[0] == '{' && p[1] == '$' && (p[2] == '.' || p[2] == '}');
}

/*
 * See template.h.
 */
static const char *
require_key_value(const char *selector, const Scope *scope)
{
	const char *value = require_text(selector, scope);

	if (value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("selector \"%s\" finds an empty text, which cannot be part of a key",
						selector),
				 errdetail("The action would have the key of another one whose value is empty, too."),
				 errhint("Correct the value in the item's data, or make the key of other parts.")));

	return value;
}

static void
append_placeholder(StringInfo out, const char *selector, const Scope *scope, Place place)
{
	char	   *value;

	switch (place)
	{
		case IN_BODY:
			value = evaluate_text(selector, scope);
			appendStringInfoString(out, value == NULL ? "null" : value);
			break;
		case IN_TEXT:
			appendStringInfoString(out, require_text(selector, scope));
			break;
		case IN_PATH:
			wf_path_append_value(out, require_text(selector, scope), selector);
			break;
		case IN_KEY:
			appendStringInfoString(out, require_key_value(selector, scope));
			break;
	}
}

/*
 * Returns a text with its placeholders filled in and its escapes taken out.
 */
static char *
interpolate(const char *template, const Scope *scope, Place place)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *p = template; *p != '\0'; p++)
	{
		if (begins_placeholder(p))
		{
			const char *end = closing_brace(p + 1);

			if (end == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("placeholder in \"%s\" is not closed", template),
						 errdetail("A \"{$\" begins a selector that ends with \"}\"."),
						 errhint("Close it, or write \"{\\$\" for the two characters.")));
			append_placeholder(&out, pnstrdup(p + 1, end - p - 1), scope, place);
			p = end;
		}
		else if (p[0] == '\\' && p[1] == '$' && (p == template || p[-1] == '{'))
			continue;
		else
			appendStringInfoChar(&out, *p);
	}

	return out.data;
}

Jsonb *
wf_select(const char *selector, Jsonb *data)
{
	Scope		scope = {data};

	if (wf_is_selector(selector))
		return evaluate(selector, &scope);

	return wf_jsonb_from_text(interpolate(selector, &scope, IN_BODY));
}

static char *
render_text(const char *template, const Scope *scope)
{
	if (wf_is_selector(template))
		return require_text(template, scope);

	return interpolate(template, scope, IN_TEXT);
}

char *
wf_render_text(const char *template, Jsonb *data)
{
	Scope		scope = {data};

	return render_text(template, &scope);
}

char *
wf_render_path(const char *template, Jsonb *data)
{
	Scope		scope = {data};
	char	   *path = interpolate(wf_is_selector(template) ?
								   psprintf("{%s}", template) : template,
								   &scope, IN_PATH);

	wf_path_require_plain(path);

	return path;
}

static void
append_rendered_string(StringInfo out, const char *template, const Scope *scope)
{
	Jsonb	   *value;

	if (!wf_is_selector(template))
	{
		escape_json(out, interpolate(template, scope, IN_BODY));
		return;
	}
	value = evaluate(template, scope);
	appendStringInfoString(out, value == NULL ? "null" : wf_jsonb_to_cstring(value));
}

/*
 * Appends the JSON text of a rendered value.
 */
static void
append_rendered(StringInfo out, JsonbValue *template, const Scope *scope)
{
	int			count;

	check_stack_depth();
	if (template->type == jbvString)
		append_rendered_string(out, wf_jsonb_value_text(template), scope);
	else if (wf_jsonb_value_is_object(template))
	{
		WfMember   *members = wf_jsonb_members(template, &count);

		appendStringInfoChar(out, '{');
		for (int i = 0; i < count; i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			escape_json(out, members[i].key);
			appendStringInfoChar(out, ':');
			append_rendered(out, &members[i].value, scope);
		}
		appendStringInfoChar(out, '}');
	}
	else if (wf_jsonb_value_is_array(template))
	{
		JsonbValue *elements = wf_jsonb_elements(template, &count);

		appendStringInfoChar(out, '[');
		for (int i = 0; i < count; i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			append_rendered(out, &elements[i], scope);
		}
		appendStringInfoChar(out, ']');
	}
	else
		appendStringInfoString(out, wf_jsonb_to_cstring(JsonbValueToJsonb(template)));
}

Jsonb *
wf_render(Jsonb *template, Jsonb *data)
{
	return wf_render_each(template, data, NULL);
}

Jsonb *
wf_render_each(Jsonb *template, Jsonb *data, Jsonb *each)
{
	Scope		scope = {data, each};
	StringInfoData json;

	initStringInfo(&json);
	append_rendered(&json, wf_jsonb_root(template), &scope);

	return wf_jsonb_from_cstring(json.data);
}

/*
 * Appends a part of a key so that no other list of parts gives the same text.
 */
static void
append_key_part(StringInfo key, const char *part)
{
	for (const char *p = part; *p != '\0'; p++)
	{
		if (*p == ':' || *p == '\\')
			appendStringInfoChar(key, '\\');
		appendStringInfoChar(key, *p);
	}
}

static char *
join_key(const char *const *parts, int nparts, const Scope *scope,
		 const char *(*render) (const char *part, const Scope *scope))
{
	StringInfoData key;

	initStringInfo(&key);
	for (int i = 0; i < nparts; i++)
	{
		if (i > 0)
			appendStringInfoChar(&key, ':');
		append_key_part(&key, render(parts[i], scope));
	}

	return key.data;
}

static const char *
render_item_part(const char *part, const Scope *scope)
{
	return render_text(part, scope);
}

static const char *
render_action_part(const char *part, const Scope *scope)
{
	if (wf_is_selector(part))
		return require_key_value(part, scope);

	return interpolate(part, scope, IN_KEY);
}

char *
wf_render_key(const char *const *parts, int nparts, Jsonb *data)
{
	Scope		scope = {data};

	return join_key(parts, nparts, &scope, render_item_part);
}

/*
 * The parts as a document has them: an array of strings, or one string.
 */
static const char **
parts_of(Jsonb *parts, int *count)
{
	JsonbValue *root = wf_jsonb_root(parts);
	JsonbValue *elements = root;
	const char **texts;

	*count = 1;
	if (wf_jsonb_value_is_array(root))
		elements = wf_jsonb_elements(root, count);
	texts = palloc(sizeof(char *) * Max(1, *count));
	for (int i = 0; i < *count; i++)
	{
		texts[i] = wf_jsonb_value_text(&elements[i]);
		if (texts[i] == NULL)
			texts[i] = "null";
	}

	return texts;
}

char *
wf_render_key_jsonb(Jsonb *parts, Jsonb *data)
{
	return wf_render_key_each(parts, data, NULL);
}

char *
wf_render_key_each(Jsonb *parts, Jsonb *data, Jsonb *each)
{
	Scope		scope = {data, each};
	int			count;
	const char **texts = parts_of(parts, &count);

	return join_key(texts, count, &scope, render_item_part);
}

char *
wf_render_action_key(Jsonb *key, Jsonb *data)
{
	Scope		scope = {data};
	int			count;
	const char **texts = parts_of(key, &count);

	if (!wf_jsonb_value_is_array(wf_jsonb_root(key)))
		return pstrdup(render_action_part(texts[0], &scope));

	return join_key(texts, count, &scope, render_action_part);
}

bool
wf_selector_is_valid(const char *selector, char **problem)
{
	return wf_text_is_input(jsonpath_in, selector, NULL, problem);
}

/*
 * Whether a string of a document, selector or text, is well-formed.
 */
bool
wf_template_is_valid(const char *template, char **problem)
{
	if (wf_is_selector(template))
		return wf_selector_is_valid(template, problem);

	for (const char *p = template; *p != '\0'; p++)
	{
		const char *end;

		if (!begins_placeholder(p))
			continue;
		end = closing_brace(p + 1);
		if (end == NULL)
		{
			*problem = pstrdup("a \"{$\" is not closed by \"}\"");
			return false;
		}
		if (!wf_selector_is_valid(pnstrdup(p + 1, end - p - 1), problem))
			return false;
		p = end;
	}

	return true;
}
