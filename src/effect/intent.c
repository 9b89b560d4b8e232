/*
 * intent.c
 *	  What may be intended.
 *
 * What an intent may hold is checked when it is stored, so that a fault is the
 * caller's to see, and again when it is sent.  Who submits names an endpoint
 * and a path below its URL, never a URL; headers that the ledger or a user
 * mapping owns cannot be set.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/method.h"
#include "base/sqlstate.h"
#include "commands/defrem.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "utils/builtins.h"

#define MAX_KEY_LENGTH	1000
#define MAX_PATH_LENGTH	4096

PG_FUNCTION_INFO_V1(wf_inner_check_path);

static void
refuse(const char *what, const char *why, const char *cure)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unacceptable %s", what),
			 errdetail("%s", why),
			 errhint("%s", cure)));
}

static bool
has_control_character(const char *text)
{
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f)
			return true;

	return false;
}

static void
check_key(const char *key)
{
	if (key == NULL || *key == '\0' || strlen(key) > MAX_KEY_LENGTH || has_control_character(key))
		refuse("key of an effect",
			   "A key has 1 to 1000 bytes and no control characters.",
			   "Make the key of the parts that identify the action, such as an order number.");
}

static void
check_method(const char *method)
{
	const char *fault = wf_method_fault(method);

	if (fault != NULL)
		refuse(psprintf("method \"%s\"", method == NULL ? "" : method), fault,
			   "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, or another method that the receiver knows.");
}

/*
 * The length of what some receiver or other takes for the end of a segment;
 * 0 at any other place.
 */
static int
separator_length(const char *at)
{
	if (pg_strncasecmp(at, "%2f", 3) == 0 || pg_strncasecmp(at, "%5c", 3) == 0)
		return 3;

	return *at == '/' || *at == ';' ? 1 : 0;
}

static int
dot_length(const char *at)
{
	if (pg_strncasecmp(at, "%2e", 3) == 0)
		return 3;

	return *at == '.' ? 1 : 0;
}

/*
 * Tells whether a path has a segment "." or "..", also in percent-encoding:
 * some receivers would leave the endpoint's base with it.
 */
static bool
climbs(const char *path)
{
	const char *at = path;

	while (*at != '\0' && *at != '?')
	{
		int			ndots = 0;

		if (separator_length(at) == 0)
		{
			at++;
			continue;
		}
		at += separator_length(at);
		for (; dot_length(at) > 0; ndots++)
			at += dot_length(at);
		if ((ndots == 1 || ndots == 2) &&
			(*at == '\0' || *at == '?' || separator_length(at) > 0))
			return true;
	}

	return false;
}

/*
 * Tells whether all of a path is what RFC 3986 lets stand in one.
 */
static bool
is_encoded(const char *path)
{
	for (const unsigned char *c = (const unsigned char *) path; *c != '\0'; c++)
	{
		if (*c <= 0x20 || *c >= 0x7f || strchr("\"<>\\^`{|}#", *c) != NULL)
			return false;
		if (*c == '%' && !(isxdigit(c[1]) && isxdigit(c[2])))
			return false;
	}

	return true;
}

static void
check_path(const char *path)
{
	if (path == NULL || strlen(path) > MAX_PATH_LENGTH || !is_encoded(path) ||
		(*path != '\0' && *path != '/' && *path != '?'))
		refuse("path",
			   "A path begins with \"/\" or \"?\", has no fragment, and all but plain ASCII in it is percent-encoded.",
			   "Give the part of the URL after the endpoint's url, percent-encoded.");
	if (strncmp(path, "//", 2) == 0)
		refuse(psprintf("path \"%s\"", path),
			   "What begins with \"//\" names a host in many places.",
			   "Give the path as it is below the endpoint's url.");
	if (climbs(path))
		refuse(psprintf("path \"%s\"", path),
			   "It has a segment \".\" or \"..\".",
			   "Give the path as it is below the endpoint's url.");
}

/*
 * _check_path(path text) returns void: raises what is wrong with a path that is
 * kept for calls to come
 */
Datum
wf_inner_check_path(PG_FUNCTION_ARGS)
{
	check_path(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_VOID();
}

static bool
is_among(List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (pg_strcasecmp(lfirst(cell), name) == 0)
			return true;
	}

	return false;
}

/*
 * Headers that a user mapping fills with secrets (a List of char *).
 */
static List *
mapped_headers(List *mapping)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, mapping)
	{
		DefElem    *option = lfirst(cell);

		if (strncmp(option->defname, "header_secret_", 14) == 0)
			names = lappend(names, wf_option_header_name(option->defname + 14));
	}

	return names;
}

/* Who sets headers, beside the request. */
typedef struct Owners
{
	const WfEndpoint *endpoint;
	List	   *mapped;			/* of char * */
} Owners;

static void
check_header(const char *name, JsonbValue *value, const Owners *owners)
{
	const WfEndpoint *endpoint = owners->endpoint;

	if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789!#$%&'*+-.^_`|~") != strlen(name))
		refuse(psprintf("header \"%s\"", name),
			   "Its name is not a token of RFC 9110.", "Correct the name.");
	if (is_among(endpoint->header_names, name))
		refuse(psprintf("header \"%s\"", name),
			   "The endpoint sets it for every call.", "Leave it out.");
	if (wf_header_is_protocol(name) || wf_header_is_reserved(name) ||
		pg_strcasecmp(name, endpoint->key_header) == 0 || is_among(owners->mapped, name))
		refuse(psprintf("header \"%s\"", name),
			   "It belongs to HTTP, to the ledger or to a user mapping.",
			   "Credentials are named in CREATE USER MAPPING, as in OPTIONS (bearer_secret 'name').");
	if (value->type != jbvString)
		refuse(psprintf("header \"%s\"", name),
			   "Its value is not a string.", "Give every header as a JSON string.");
	if (has_control_character(pnstrdup(value->val.string.val, value->val.string.len)))
		refuse(psprintf("header \"%s\"", name),
			   "Its value contains a control character.", "Remove line breaks from the value.");
}

static void
check_headers(Jsonb *headers, const Owners *owners)
{
	int			count;
	WfMember   *members;

	if (headers == NULL)
		return;
	if (!wf_jsonb_is_object(headers))
		refuse("headers", "They are not a JSON object.", "Give {\"name\": \"value\"}.");
	members = wf_jsonb_members(wf_jsonb_root(headers), &count);
	for (int i = 0; i < count; i++)
	{
		check_header(members[i].key, &members[i].value, owners);
		for (int j = 0; j < i; j++)
			if (pg_strcasecmp(members[j].key, members[i].key) == 0)
				refuse(psprintf("header \"%s\"", members[i].key),
					   "It is given twice, in different case.", "Give it once.");
	}
}

static void
check_before(Jsonb *spec, const Owners *owners)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(spec, "before");

	if (before == NULL || !JB_ROOT_IS_OBJECT(before))
		return;
	check_method(wf_jsonb_get_text(before, "method"));
	check_path(wf_jsonb_get_text(before, "path"));
	check_headers(wf_jsonb_get_jsonb(before, "headers"), owners);
}

/*
 * Raises what is wrong with a stored effect, before anything is sent: its row
 * may have been restored, or inserted by the owner of the database.
 */
void
wf_check_effect(const WfEffect *effect, const WfEndpoint *endpoint)
{
	Owners		owners = {.endpoint = endpoint};

	check_method(effect->method);
	check_path(effect->path);
	check_headers(effect->headers, &owners);
	check_before(effect->spec, &owners);
}

/*
 * Raises what is wrong with an intent.
 */
void
wf_check_intent(const WfIntent *intent, const WfEndpoint *endpoint, const bytea *body)
{
	Owners		owners = {.endpoint = endpoint};

	check_key(intent->key);
	if (strcmp(intent->kind, "guard") == 0)
		return;
	owners.mapped = mapped_headers(wf_endpoint_mapping(endpoint, intent->submitted_by));
	check_method(intent->method);
	check_path(intent->path);
	check_headers(intent->headers, &owners);
	check_before(intent->spec, &owners);
	if (body != NULL && strcmp(intent->method, "HEAD") == 0)
		refuse("body of a request", "A HEAD request has none.", "Leave it out, or use GET.");
	if (body != NULL && VARSIZE_ANY_EXHDR(body) > endpoint->max_request)
		refuse("body of a request",
			   psprintf("It has %zu bytes; endpoint \"%s\" takes %lld.",
						(size_t) VARSIZE_ANY_EXHDR(body), endpoint->name,
						(long long) endpoint->max_request),
			   "Send less, or raise pg_workflow.max_request and the server's max_request.");
}
