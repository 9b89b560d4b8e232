/*
 * body.c
 *	  From the body of an intent to the exact bytes that are sent.
 *
 * The type says how a jsonb value is written: as JSON, as a form, in parts, or
 * (a string, or {"base64": ...}) as it is.  The same value always gives the
 * same bytes, so that a second send is a copy and the fingerprint tells
 * requests apart.  Text is sent as UTF-8, whatever the database's encoding.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define TYPE_JSON	"application/json"
#define TYPE_BYTES	"application/octet-stream"
#define TYPE_FORM	"application/x-www-form-urlencoded"
#define TYPE_PARTS	"multipart/form-data"

#define TOKEN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

static void
refuse(const char *why, const char *cure)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unacceptable body of a request"),
			 errdetail("%s", why),
			 errhint("%s", cure)));
}

static bytea *
make_bytea(const char *data, size_t length)
{
	bytea	   *bytes = palloc(VARHDRSZ + length);

	SET_VARSIZE(bytes, VARHDRSZ + length);
	memcpy(VARDATA(bytes), data, length);

	return bytes;
}

static void
append_utf8(StringInfo out, const char *text)
{
	appendStringInfoString(out, pg_server_to_any(text, strlen(text), PG_UTF8));
}

/* ------------------------------------------------------------------- types */

static void
check_type(const char *type)
{
	size_t		main_length = strspn(type, TOKEN_CHARACTERS);
	const char *subtype = type + main_length + 1;
	size_t		length = type[main_length] == '/' ? strspn(subtype, TOKEN_CHARACTERS) : 0;
	bool		is_clean = true;

	for (const unsigned char *c = (const unsigned char *) type; *c != '\0'; c++)
		is_clean = is_clean && *c >= 0x20 && *c < 0x7f;
	if (main_length == 0 || length == 0 || strchr("; ", subtype[length]) == NULL || !is_clean)
		refuse(psprintf("Its type \"%s\" is not a media type.", type),
			   "Write a type such as text/plain; charset=utf-8.");
}

/*
 * Tells whether a type is the one named, whatever its parameters.
 */
static bool
type_is(const char *type, const char *name)
{
	size_t		length = strlen(name);

	return pg_strncasecmp(type, name, length) == 0 && strchr("; ", type[length]) != NULL;
}

static bool
type_is_json(const char *type)
{
	size_t		length = strcspn(type, "; ");

	return type_is(type, TYPE_JSON) ||
		(length > 5 && pg_strncasecmp(type + length - 5, "+json", 5) == 0);
}

/*
 * A type among the headers is as good as one beside the body; not both.
 */
static const char *
type_of(const WfIntent *intent)
{
	char	   *type = wf_header_value(intent->headers, "content-type");

	if (type != NULL && intent->content_type != NULL)
		refuse("Its type is given twice: as content_type and as a header.",
			   "Leave the header out.");
	if (type == NULL && intent->content_type != NULL)
		type = pstrdup(intent->content_type);
	if (type != NULL)
		check_type(type);

	return type;
}

/* ------------------------------------------------------------------- texts */

/*
 * The text of a string, a number or a boolean; NULL for null.  Anything else
 * is refused.
 */
static char *
scalar_text(const char *name, JsonbValue *value)
{
	if (wf_jsonb_value_is_object(value) || wf_jsonb_value_is_array(value))
		refuse(psprintf("Field \"%s\" is neither a string, a number nor a boolean.", name),
			   "Give one value, or an array of such values for several fields of one name.");

	return wf_jsonb_value_text(value);
}

static void
append_bytes(StringInfo out, JsonbValue *base64)
{
	char	   *text = base64->type == jbvString ? wf_jsonb_value_text(base64) : NULL;
	bytea	   *bytes;

	if (text == NULL)
		refuse("A \"base64\" is no string.", "Give the bytes as encode(..., 'base64').");
	bytes = DatumGetByteaPP(DirectFunctionCall2(binary_decode,
												CStringGetTextDatum(text),
												CStringGetTextDatum("base64")));
	appendBinaryStringInfo(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

static WfMember *
require_members(Jsonb *body, const char *type, int *count)
{
	JsonbValue *root = wf_jsonb_root(body);

	if (!wf_jsonb_value_is_object(root))
		refuse(psprintf("A body of type %s is made of a JSON object.", type),
			   "Give {\"field\": \"value\"}.");

	return wf_jsonb_members(root, count);
}

typedef StringInfo (*MakeField) (const char *name, JsonbValue *value);

/*
 * Makes every field of an object; an array is several fields of one name, null
 * is none.
 */
static List *
make_fields(Jsonb *body, const char *type, MakeField make)
{
	int			count;
	WfMember   *members = require_members(body, type, &count);
	List	   *fields = NIL;

	for (int i = 0; i < count; i++)
	{
		int			nvalues = 1;
		JsonbValue *values = &members[i].value;

		if (wf_jsonb_value_is_array(values))
			values = wf_jsonb_elements(&members[i].value, &nvalues);
		for (int j = 0; j < nvalues; j++)
			if (values[j].type != jbvNull)
				fields = lappend(fields, make(members[i].key, &values[j]));
	}

	return fields;
}

/* -------------------------------------------------------------------- form */

static void
append_form_text(StringInfo out, const char *text)
{
	const char *utf8 = pg_server_to_any(text, strlen(text), PG_UTF8);

	for (const unsigned char *c = (const unsigned char *) utf8; *c != '\0'; c++)
	{
		if (*c < 0x80 && (isalnum(*c) || strchr("*-._", *c) != NULL))
			appendStringInfoChar(out, *c);
		else if (*c == ' ')
			appendStringInfoChar(out, '+');
		else
			appendStringInfo(out, "%%%02X", *c);
	}
}

static StringInfo
form_field(const char *name, JsonbValue *value)
{
	StringInfo	field = makeStringInfo();

	append_form_text(field, name);
	appendStringInfoChar(field, '=');
	append_form_text(field, scalar_text(name, value));

	return field;
}

static bytea *
form_bytes(Jsonb *body)
{
	StringInfoData out;
	ListCell   *cell;

	initStringInfo(&out);
	foreach(cell, make_fields(body, TYPE_FORM, form_field))
	{
		StringInfo	field = lfirst(cell);

		if (out.len > 0)
			appendStringInfoChar(&out, '&');
		appendBinaryStringInfo(&out, field->data, field->len);
	}

	return make_bytea(out.data, out.len);
}

/* ------------------------------------------------------------------- parts */

/*
 * A name within a header of a part: nothing in it can end the quotes or the
 * line.
 */
static void
append_part_name(StringInfo out, const char *attribute, const char *name)
{
	const char *utf8 = pg_server_to_any(name, strlen(name), PG_UTF8);

	appendStringInfo(out, "; %s=\"", attribute);
	for (const unsigned char *c = (const unsigned char *) utf8; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f || *c == '"' || *c == '\\')
			appendStringInfo(out, "%%%02X", *c);
		else
			appendStringInfoChar(out, *c);
	}
	appendStringInfoChar(out, '"');
}

static void
check_part(const char *name, JsonbValue *part)
{
	static const char *const known[] = {"content", "base64", "filename", "content_type"};
	int			count;
	WfMember   *members = wf_jsonb_members(part, &count);

	for (int i = 0; i < count; i++)
	{
		bool		is_known = false;

		for (int j = 0; j < lengthof(known); j++)
			is_known = is_known || strcmp(members[i].key, known[j]) == 0;
		if (!is_known)
			refuse(psprintf("Part \"%s\" has a member \"%s\".", name, members[i].key),
				   "A part has \"content\" or \"base64\", and may have \"filename\" and \"content_type\".");
	}
	if ((wf_jsonb_value_get(part, "content") == NULL) ==
		(wf_jsonb_value_get(part, "base64") == NULL))
		refuse(psprintf("Part \"%s\" does not have one of \"content\" and \"base64\".", name),
			   "Give text or JSON as \"content\", bytes as \"base64\".");
}

static const char *
part_type(JsonbValue *part)
{
	JsonbValue *content = wf_jsonb_value_get(part, "content");
	const char *type = wf_jsonb_value_text(wf_jsonb_value_get(part, "content_type"));

	if (type == NULL && content == NULL)
		return TYPE_BYTES;
	if (type == NULL && content->type != jbvString)
		return TYPE_JSON;
	if (type != NULL)
		check_type(type);

	return type;
}

static void
append_part_object(StringInfo out, const char *name, JsonbValue *part)
{
	const char *filename = wf_jsonb_value_text(wf_jsonb_value_get(part, "filename"));
	JsonbValue *content = wf_jsonb_value_get(part, "content");
	const char *type;

	check_part(name, part);
	type = part_type(part);
	if (filename != NULL)
		append_part_name(out, "filename", filename);
	if (type != NULL)
		appendStringInfo(out, "\r\nContent-Type: %s", type);
	appendStringInfoString(out, "\r\n\r\n");
	if (content == NULL)
		append_bytes(out, wf_jsonb_value_get(part, "base64"));
	else
		append_utf8(out, content->type == jbvString ? wf_jsonb_value_text(content) :
					wf_jsonb_to_cstring(JsonbValueToJsonb(content)));
}

static StringInfo
form_part(const char *name, JsonbValue *value)
{
	StringInfo	part = makeStringInfo();

	appendStringInfoString(part, "Content-Disposition: form-data");
	append_part_name(part, "name", name);
	if (wf_jsonb_value_is_object(value))
		append_part_object(part, name, value);
	else
	{
		appendStringInfoString(part, "\r\n\r\n");
		append_utf8(part, scalar_text(name, value));
	}

	return part;
}

/*
 * The digest of all parts: no part can contain it, since that would change it.
 */
static char *
boundary_of(List *parts)
{
	StringInfoData material;
	ListCell   *cell;

	initStringInfo(&material);
	foreach(cell, parts)
	{
		StringInfo	part = lfirst(cell);

		wf_digest_add(&material, part->data, part->len);
	}

	return psprintf("wf-%.40s", wf_digest_hex(material.data, material.len));
}

static bytea *
parts_bytes(Jsonb *body, const char **type)
{
	List	   *parts = make_fields(body, TYPE_PARTS, form_part);
	char	   *boundary = boundary_of(parts);
	StringInfoData out;
	ListCell   *cell;

	if (strlen(*type) != strlen(TYPE_PARTS))
		refuse(psprintf("Its type is \"%s\".", *type),
			   "Write " TYPE_PARTS " and nothing else: the boundary is made of the parts.");
	if (parts == NIL)
		refuse("It has no part.", "Give {\"field\": \"value\"}.");
	initStringInfo(&out);
	foreach(cell, parts)
	{
		StringInfo	part = lfirst(cell);

		appendStringInfo(&out, "--%s\r\n", boundary);
		appendBinaryStringInfo(&out, part->data, part->len);
		appendStringInfoString(&out, "\r\n");
	}
	appendStringInfo(&out, "--%s--\r\n", boundary);
	*type = psprintf("%s; boundary=%s", TYPE_PARTS, boundary);

	return make_bytea(out.data, out.len);
}

/* -------------------------------------------------------------------- body */

static bytea *
json_bytes(Jsonb *body)
{
	StringInfoData out;

	initStringInfo(&out);
	append_utf8(&out, wf_jsonb_to_cstring(body));

	return make_bytea(out.data, out.len);
}

/*
 * A string is sent as text, {"base64": ...} as the bytes it stands for.
 */
static bytea *
plain_bytes(Jsonb *body, const char *type)
{
	JsonbValue *root = wf_jsonb_root(body);
	JsonbValue *base64 = wf_jsonb_value_get(root, "base64");
	StringInfoData out;

	initStringInfo(&out);
	if (base64 != NULL)
		append_bytes(&out, base64);
	else if (root->type == jbvString)
		append_utf8(&out, wf_jsonb_value_text(root));
	else
		refuse(psprintf("A body of type %s is a string, or {\"base64\": \"...\"}.", type),
			   "Give text as a JSON string, bytes as body_bytes or in base64.");

	return make_bytea(out.data, out.len);
}

/*
 * Returns the bytes to send, NULL for none; *type is what they are.
 */
bytea *
wf_body_bytes(const WfIntent *intent, const char **type)
{
	*type = NULL;
	if (intent->body != NULL && intent->body_bytes != NULL)
		refuse("It is given twice: as body and as body_bytes.", "Give one of the two.");
	if (intent->body == NULL && intent->body_bytes == NULL)
		return NULL;
	if (strcmp(intent->kind, "guard") != 0)
		*type = type_of(intent);
	if (intent->body_bytes != NULL)
	{
		*type = *type == NULL ? TYPE_BYTES : *type;
		return intent->body_bytes;
	}
	if (*type == NULL || type_is_json(*type))
	{
		*type = *type == NULL ? TYPE_JSON : *type;
		return json_bytes(intent->body);
	}
	if (type_is(*type, TYPE_FORM))
		return form_bytes(intent->body);
	if (type_is(*type, TYPE_PARTS))
		return parts_bytes(intent->body, type);

	return plain_bytes(intent->body, *type);
}
