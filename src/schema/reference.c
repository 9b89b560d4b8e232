/*
 * reference.c
 *	  What "$ref" leads to: a place in the same document.
 *
 * "$id" makes a schema a resource with a URI of its own, "$anchor" gives one a
 * name in its resource; both are found before anything is compiled.  What
 * leads out of the document is refused: nothing is fetched.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "miscadmin.h"
#include "schema/schema_internal.h"

typedef struct Resource
{
	const char *uri;			/* without a fragment */
	const char *path;			/* JSON pointer into the document */
} Resource;

typedef struct Anchor
{
	const char *uri;			/* of its resource */
	const char *name;
	const char *path;
} Anchor;

/* ---------------------------------------------------------------------- URIs */

/*
 * Length of the scheme with its colon; 0 when there is none.
 */
static int
scheme_length(const char *uri)
{
	int			length = strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789+-.");

	return length > 0 && uri[length] == ':' ? length + 1 : 0;
}

/*
 * Where the path begins: after the scheme and the authority.
 */
static int
path_start(const char *uri)
{
	int			start = scheme_length(uri);

	if (strncmp(uri + start, "//", 2) == 0)
		start += 2 + strcspn(uri + start + 2, "/?");

	return start;
}

/*
 * Takes "." and ".." out of a path (RFC 3986, 5.2.4).
 */
static char *
without_dots(const char *path)
{
	char	   *result = palloc0(strlen(path) + 2);
	bool		is_open = true; /* a segment may begin here */
	int			length = 0;

	while (*path != '\0')
	{
		int			segment = strcspn(path, "/");
		bool		has_slash = path[segment] == '/';

		if (is_open && segment == 2 && strncmp(path, "..", 2) == 0)
		{
			if (length > 1)
				length--;		/* the slash behind the segment before */
			while (length > 0 && result[length - 1] != '/')
				length--;
		}
		else if (!(is_open && segment == 1 && *path == '.'))
		{
			memcpy(result + length, path, segment);
			length += segment;
			if (has_slash)
				result[length++] = '/';
		}
		path += segment + (has_slash ? 1 : 0);
		is_open = true;
	}
	result[length] = '\0';

	return result;
}

/*
 * Resolves a reference without its fragment against a base.
 */
static char *
resolve(const char *base, const char *reference)
{
	int			start = path_start(base);
	const char *slash;

	if (*reference == '\0')
		return pstrdup(base);
	if (scheme_length(reference) > 0)
		return pstrdup(reference);
	if (strncmp(reference, "//", 2) == 0)
		return psprintf("%.*s%s", scheme_length(base), base, reference);
	if (*reference == '/')
		return psprintf("%.*s%s", start, base, without_dots(reference));
	slash = strrchr(base + start, '/');

	return psprintf("%.*s%s", start, base,
					without_dots(psprintf("%.*s%s", slash == NULL ? 0 : (int) (slash + 1 - (base + start)),
										  base + start, reference)));
}

/*
 * Cuts the fragment off; returns it, or "".
 */
static const char *
cut_fragment(char *uri)
{
	char	   *hash = strchr(uri, '#');

	if (hash == NULL)
		return "";
	*hash = '\0';

	return hash + 1;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;

	return -1;
}

static char *
percent_decode(const char *text)
{
	StringInfoData decoded;

	initStringInfo(&decoded);
	for (; *text !='\0'; text ++)
	{
		int			high = text[0] == '%' ? hex_digit(text[1]) : -1;
		int			low = high >= 0 ? hex_digit(text[2]) : -1;

		if (low >= 0 && (high > 0 || low > 0))
		{
			appendStringInfoChar(&decoded, (char) (high * 16 + low));
			text	  +=2;
		}
		else
			appendStringInfoChar(&decoded, *text);
	}

	return decoded.data;
}

/* ---------------------------------------------------------------------- scan */

/*
 * The URI of the resource that a path belongs to.
 */
static const char *
base_of(WfCompile *compile, const char *path)
{
	const Resource *innermost = NULL;
	ListCell   *cell;

	foreach(cell, compile->resources)
	{
		const Resource *resource = lfirst(cell);
		int			length = strlen(resource->path);

		if (strncmp(path, resource->path, length) == 0 &&
			(path[length] == '/' || path[length] == '\0') &&
			(innermost == NULL || length >= strlen(innermost->path)))
			innermost = resource;
	}

	return innermost->uri;
}

static void
add_resource(WfCompile *compile, const char *uri)
{
	Resource   *resource = palloc(sizeof(Resource));

	resource->uri = uri;
	resource->path = pstrdup(compile->path.data);
	compile->resources = lappend(compile->resources, resource);
}

static void
add_anchor(WfCompile *compile, const char *uri, const char *name)
{
	Anchor	   *anchor = palloc(sizeof(Anchor));

	anchor->uri = uri;
	anchor->name = name;
	anchor->path = pstrdup(compile->path.data);
	compile->anchors = lappend(compile->anchors, anchor);
}

static char *
text_member(JsonbValue *object, const char *key)
{
	JsonbValue *value = wf_jsonb_value_get(object, key);

	return value != NULL && value->type == jbvString ? wf_jsonb_value_text(value) : NULL;
}

/*
 * Notes what a schema is called; returns its base.
 */
static const char *
scan_names(WfCompile *compile, JsonbValue *schema, const char *base)
{
	static const char *const anchors[] = {"$anchor", "$dynamicAnchor"};
	char	   *id = text_member(schema, "$id");

	if (compile->dialect == WF_DRAFT_07 && wf_jsonb_value_get(schema, "$ref") != NULL)
		return base;			/* its siblings do not count */
	if (id != NULL)
	{
		const char *fragment = cut_fragment(id);

		if (*id != '\0' || *fragment == '\0')
			add_resource(compile, base = resolve(base, id));
		if (*fragment != '\0')	/* how draft-07 names an anchor */
			add_anchor(compile, base, fragment);
	}
	for (int i = 0; i < lengthof(anchors); i++)
	{
		char	   *name = text_member(schema, anchors[i]);

		if (name != NULL)
			add_anchor(compile, base, name);
	}

	return base;
}

static void scan(WfCompile *compile, JsonbValue *schema, const char *base);

static void
scan_value(WfCompile *compile, WfSubschemas holds, JsonbValue *value, const char *base)
{
	int			count;

	if (holds == WF_ONE_SCHEMA && !wf_jsonb_value_is_array(value))
		scan(compile, value, base);
	else if (wf_jsonb_value_is_array(value) && holds != WF_SCHEMA_MAP)
	{
		JsonbValue *elements = wf_jsonb_elements(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = wf_pointer_descend_element(&compile->path, i);

			scan(compile, &elements[i], base);
			wf_pointer_leave(&compile->path, mark);
		}
	}
	else if (holds == WF_SCHEMA_MAP)
	{
		WfMember   *members = wf_jsonb_members(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = wf_pointer_descend(&compile->path, members[i].key,
												  strlen(members[i].key));

			scan(compile, &members[i].value, base);
			wf_pointer_leave(&compile->path, mark);
		}
	}
}

static void
scan(WfCompile *compile, JsonbValue *schema, const char *base)
{
	int			count;
	WfMember   *members;

	check_stack_depth();
	if (!wf_jsonb_value_is_object(schema))
		return;
	base = scan_names(compile, schema, base);
	members = wf_jsonb_members(schema, &count);
	for (int i = 0; i < count; i++)
	{
		const WfKeyword *keyword = wf_keyword_find(members[i].key);
		int			mark;

		if (keyword == NULL || keyword->holds == WF_NO_SCHEMA)
			continue;
		mark = wf_pointer_descend(&compile->path, members[i].key, strlen(members[i].key));
		scan_value(compile, keyword->holds, &members[i].value, base);
		wf_pointer_leave(&compile->path, mark);
	}
}

void
wf_references_scan(WfCompile *compile)
{
	add_resource(compile, "");
	scan(compile, compile->document, "");
}

/*
 * Whether no part of the document is a resource of its own.
 */
bool
wf_references_are_of_one_resource(const WfCompile *compile)
{
	ListCell   *cell;

	foreach(cell, compile->resources)
	{
		const Resource *resource = lfirst(cell);

		if (*resource->path != '\0')
			return false;
	}

	return true;
}

/* ------------------------------------------------------------------- targets */

/*
 * Takes one step of a JSON pointer; NULL when there is nothing.
 */
static JsonbValue *
step(JsonbValue *value, const char *key)
{
	int			count;
	JsonbValue *elements;
	char	   *end;
	long		index;

	if (!wf_jsonb_value_is_array(value))
		return wf_jsonb_value_get(value, key);
	elements = wf_jsonb_elements(value, &count);
	index = strtol(key, &end, 10);

	return *key >= '0' && *key <= '9' && *end == '\0' && index < count ? &elements[index] : NULL;
}

static char *
next_token(const char **pointer)
{
	int			length = strcspn(*pointer, "/");
	char	   *token = pnstrdup(*pointer, length);
	char	   *to = token;

	for (const char *from = token; *from != '\0'; from++)
	{
		bool		is_escape = from[0] == '~' && (from[1] == '0' || from[1] == '1');

		*to++ = is_escape ? (from[1] == '0' ? '~' : '/') : *from;
		if (is_escape)
			from++;
	}
	*to = '\0';
	*pointer += length;

	return token;
}

/*
 * Follows a JSON pointer from the top of the document; tells the same pointer
 * as the compilation writes it.
 */
static JsonbValue *
follow(JsonbValue *value, const char *pointer, StringInfo path)
{
	while (value != NULL && *pointer == '/')
	{
		char	   *token;

		pointer++;
		token = next_token(&pointer);
		wf_pointer_descend(path, token, strlen(token));
		value = step(value, token);
	}

	return *pointer == '\0' ? value : NULL;
}

static const char *
path_of_resource(WfCompile *compile, const char *uri)
{
	ListCell   *cell;

	foreach(cell, compile->resources)
	{
		const Resource *resource = lfirst(cell);

		if (strcmp(resource->uri, uri) == 0)
			return resource->path;
	}

	return NULL;
}

static const char *
path_of_anchor(WfCompile *compile, const char *uri, const char *name)
{
	ListCell   *cell;

	foreach(cell, compile->anchors)
	{
		const Anchor *anchor = lfirst(cell);

		if (strcmp(anchor->uri, uri) == 0 && strcmp(anchor->name, name) == 0)
			return anchor->path;
	}

	return NULL;
}

/*
 * Returns the node that a reference leads to; NULL, and a fault, when that is
 * not in the document.
 */
WfNode *
wf_reference_node(WfCompile *compile, const char *reference)
{
	char	   *uri = pstrdup(reference);
	char	   *fragment = percent_decode(cut_fragment(uri));
	const char *resource;
	StringInfoData path;
	JsonbValue *target;

	uri = resolve(base_of(compile, compile->path.data), uri);
	resource = path_of_resource(compile, uri);
	if (resource == NULL)
	{
		wf_compile_fault(compile, "\"%s\" is not in this document, and nothing is fetched", reference);
		return NULL;
	}
	initStringInfo(&path);
	if (*fragment != '\0' && *fragment != '/')
	{
		resource = path_of_anchor(compile, uri, fragment);
		fragment = "";
	}
	target = resource == NULL ? NULL :
		follow(compile->document, psprintf("%s%s", resource, fragment), &path);
	if (target == NULL)
	{
		wf_compile_fault(compile, "\"%s\" leads nowhere", reference);
		return NULL;
	}

	return wf_compile_at(compile, path.data, target);
}
