/*
 * request.c
 *	  Requests: what may be intended, and what goes on the wire for it.
 *
 * What an intent may hold is checked when it is stored, so that a fault is the
 * caller's to see.  Who submits names an endpoint and a path below its URL,
 * never a URL; headers that the ledger or a user mapping owns cannot be set.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/jsonb.h"
#include "base/sqlstate.h"
#include "commands/defrem.h"
#include "effect/ledger.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#define MAX_KEY_LENGTH	1000
#define MAX_PATH_LENGTH	4096
#define MAX_SENT_KEY	255

/* Owned by HTTP itself, by the ledger, or by user mappings. */
static const char *const refused_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
	"trailer", "upgrade", "expect", "authorization", "proxy-authorization", "cookie",
	"webhook-id", "webhook-timestamp", "webhook-signature",
};

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
	if (method == NULL || strlen(method) > 20 || *method == '\0' ||
		strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) ||
		strcmp(method, "CONNECT") == 0 || strcmp(method, "TRACE") == 0)
		refuse(psprintf("method \"%s\"", method == NULL ? "" : method),
			   "A method is written in capital letters; CONNECT and TRACE are not supported.",
			   "Use GET, HEAD, POST, PUT, PATCH or DELETE.");
}

/*
 * Tells whether a path has a segment "." or "..", also in percent-encoding:
 * some receivers would leave the endpoint's base with it.
 */
static bool
climbs(const char *path)
{
	const char *segment = path;

	while (*segment == '/')
	{
		int			ndots = 0;

		segment++;
		for (;;)
		{
			if (*segment == '.')
				segment++;
			else if (pg_strncasecmp(segment, "%2e", 3) == 0)
				segment += 3;
			else
				break;
			ndots++;
		}
		if ((ndots == 1 || ndots == 2) && strchr("/?", *segment) != NULL)
			return true;
		segment += strcspn(segment, "/?");
	}

	return false;
}

static void
check_path(const char *path)
{
	if (path == NULL || strlen(path) > MAX_PATH_LENGTH || strpbrk(path, " #\\") != NULL ||
		has_control_character(path) || (*path != '\0' && *path != '/' && *path != '?'))
		refuse("path",
			   "A path begins with \"/\" or \"?\" and has no spaces, backslashes or fragment.",
			   "Give the part of the URL after the endpoint's url, percent-encoded.");
	if (climbs(path))
		refuse(psprintf("path \"%s\"", path),
			   "It has a segment \".\" or \"..\".",
			   "Give the path as it is below the endpoint's url.");
}

static bool
header_is_refused(const char *name, const WfEndpoint *endpoint)
{
	for (int i = 0; i < lengthof(refused_headers); i++)
		if (pg_strcasecmp(name, refused_headers[i]) == 0)
			return true;

	return pg_strcasecmp(name, endpoint->key_header) == 0;
}

static void
check_header(const char *name, JsonbValue *value, const WfEndpoint *endpoint)
{
	if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789!#$%&'*+-.^_`|~") != strlen(name))
		refuse(psprintf("header \"%s\"", name),
			   "Its name is not a token of RFC 9110.", "Correct the name.");
	if (header_is_refused(name, endpoint))
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
check_headers(Jsonb *headers, const WfEndpoint *endpoint)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	if (headers == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(headers))
		refuse("headers", "They are not a JSON object.", "Give {\"name\": \"value\"}.");
	iterator = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			check_header(name, &value, endpoint);
	}
}

static void
check_scheme(const WfEndpoint *endpoint)
{
	if (endpoint->allow_http || strncmp(endpoint->url, "https://", 8) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
			 errmsg("endpoint \"%s\" is refused: its url is not https", endpoint->name),
			 errdetail("The url is \"%s\".", endpoint->url),
			 errhint("ALTER SERVER %s OPTIONS (ADD allow_http 'true');",
					 quote_identifier(endpoint->name))));
}

static void
check_before(const WfIntent *intent)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(intent->spec, "before");

	if (before == NULL || !JB_ROOT_IS_OBJECT(before))
		return;
	check_method(wf_jsonb_get_text(before, "method"));
	check_path(wf_jsonb_get_text(before, "path"));
}

/*
 * Raises what is wrong with an intent.
 */
void
wf_check_intent(const WfIntent *intent, const WfEndpoint *endpoint, const bytea *body)
{
	check_key(intent->key);
	if (strcmp(intent->kind, "guard") == 0)
		return;
	check_method(intent->method);
	check_path(intent->path);
	check_headers(intent->headers, endpoint);
	check_before(intent);
	check_scheme(endpoint);
	if (body != NULL && VARSIZE_ANY_EXHDR(body) > endpoint->max_request)
		refuse("body of a request",
			   psprintf("It has %zu bytes; endpoint \"%s\" takes %lld.",
						(size_t) VARSIZE_ANY_EXHDR(body), endpoint->name,
						(long long) endpoint->max_request),
			   "Send less, or raise pg_workflow.max_request and the server's max_request.");
}

/* ------------------------------------------------------------------ wire */

void
wf_wire_add_header(WfWire *wire, const char *name, const char *value)
{
	wire->header_names = lappend(wire->header_names, pstrdup(name));
	wire->header_values = lappend(wire->header_values, pstrdup(value));
}

static bool
has_header(const WfWire *wire, const char *name)
{
	ListCell   *cell;

	foreach(cell, wire->header_names)
	{
		if (pg_strcasecmp(lfirst(cell), name) == 0)
			return true;
	}

	return false;
}

static void
add_default_header(WfWire *wire, const char *name, const char *value)
{
	if (!has_header(wire, name))
		wf_wire_add_header(wire, name, value);
}

static void
add_own_headers(WfWire *wire, Jsonb *headers)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	if (headers == NULL)
		return;
	iterator = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			wf_wire_add_header(wire, name, pnstrdup(value.val.string.val, value.val.string.len));
	}
}

static void
add_endpoint_headers(WfWire *wire, const WfEndpoint *endpoint)
{
	ListCell   *name;
	ListCell   *value;

	forboth(name, endpoint->header_names, value, endpoint->header_values)
		add_default_header(wire, lfirst(name), lfirst(value));
}

/*
 * The key as a header value: printable ASCII, whatever the key holds, and
 * different for different keys.
 */
static char *
sent_key(const char *key, bool is_quoted)
{
	StringInfoData sent;

	initStringInfo(&sent);
	for (const unsigned char *c = (const unsigned char *) key; *c != '\0'; c++)
	{
		if (*c <= 0x20 || *c >= 0x7f || strchr("%\"\\", *c) != NULL)
			appendStringInfo(&sent, "%%%02X", *c);
		else
			appendStringInfoChar(&sent, *c);
	}
	if (sent.len > MAX_SENT_KEY - 2)
		return psprintf(is_quoted ? "\"sha256:%s\"" : "sha256:%s",
						wf_digest_hex(key, strlen(key)));

	return is_quoted ? psprintf("\"%s\"", sent.data) : sent.data;
}

static void
use_secret(WfWire *wire, const char *option, const char *secret)
{
	if (strcmp(option, "bearer_secret") == 0)
		wf_wire_add_header(wire, "Authorization", psprintf("Bearer %s", secret));
	else if (strcmp(option, "basic_secret") == 0)
		wf_wire_add_header(wire, "Authorization",
						   psprintf("Basic %s", wf_basic_credentials(secret)));
	else if (strncmp(option, "header_secret_", 14) == 0)
		wf_wire_add_header(wire, wf_option_header_name(option + 14), secret);
}

static bool
add_secrets(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint, char **problem)
{
	List	   *mapping = wf_endpoint_mapping(endpoint, effect->submitted_by);
	ListCell   *cell;

	foreach(cell, mapping)
	{
		DefElem    *option = lfirst(cell);
		char	   *secret = wf_secret_read(defGetString(option), problem);

		if (secret == NULL)
			return false;
		use_secret(wire, option->defname, secret);
		explicit_bzero(secret, strlen(secret));
	}

	return wire->is_before || wf_sign_wire(wire, effect, mapping, problem);
}

static void
fill_action(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint)
{
	wire->method = effect->method;
	wire->url = psprintf("%s%s", endpoint->url, effect->path);
	if (effect->body != NULL)
	{
		wire->body = VARDATA_ANY(effect->body);
		wire->body_length = VARSIZE_ANY_EXHDR(effect->body);
	}
	add_own_headers(wire, effect->headers);
	if (wire->body != NULL && effect->content_type != NULL)
		add_default_header(wire, "Content-Type", effect->content_type);
	if (endpoint->dedup == WF_DEDUP_KEY)
		wf_wire_add_header(wire, endpoint->key_header,
						   sent_key(effect->key, endpoint->key_is_quoted));
}

static void
fill_before(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(effect->spec, "before");

	wire->method = wf_jsonb_get_text(before, "method");
	wire->url = psprintf("%s%s", endpoint->url, wf_jsonb_get_text(before, "path"));
	add_own_headers(wire, effect->headers);
}

/*
 * Fills in what goes on the wire, secrets included.  wire->is_before chooses
 * between the action and the read before it.  Returns false, with *problem,
 * when a secret cannot be read.
 */
bool
wf_fill_wire(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint,
			 char **problem)
{
	int			timeout_ms = effect->timeout_ms > 0 ? effect->timeout_ms : endpoint->timeout_ms;

	wire->effect_id = effect->effect_id;
	wire->timeout_ms = Min(timeout_ms, endpoint->timeout_ms);
	wire->connect_timeout_ms = Min(endpoint->connect_timeout_ms, wire->timeout_ms);
	wire->max_response = endpoint->max_response;
	wire->allow_http = endpoint->allow_http;
	wire->allow_private = endpoint->allow_private;
	wire->fresh_connection = endpoint->dedup == WF_DEDUP_NONE && !wire->is_before;
	wire->ca_file = endpoint->ca_file;

	if (wire->is_before)
		fill_before(wire, effect, endpoint);
	else
		fill_action(wire, effect, endpoint);
	add_endpoint_headers(wire, endpoint);
	add_default_header(wire, "Accept", "application/json");
	add_default_header(wire, "User-Agent", "pg_workflow/" WF_VERSION);

	return add_secrets(wire, effect, endpoint, problem);
}

static void
add_options(StringInfo material, List *options, bool are_secrets)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		char	   *value = defGetString(option);

		wf_digest_add(material, option->defname, strlen(option->defname));
		if (are_secrets)
			value = wf_secret_stamp(value);
		wf_digest_add(material, value, strlen(value));
	}
}

/*
 * Returns a digest of everything outside the effect that decides whether it
 * may be sent: a blocked effect goes on when it changes.
 */
char *
wf_cause(const WfEndpoint *endpoint, const char *role)
{
	StringInfoData material;
	const char *mode = psprintf("%d", wf_effects_mode);

	if (endpoint == NULL)
		return pstrdup("no server");
	initStringInfo(&material);
	wf_digest_add(&material, mode, strlen(mode));
	add_options(&material, GetForeignServer(endpoint->server)->options, false);
	add_options(&material, wf_endpoint_mapping(endpoint, role), true);
	mode = wf_endpoint_is_usable_by(endpoint, role) ? "usable" : "not usable";
	wf_digest_add(&material, mode, strlen(mode));

	return wf_digest_hex(material.data, material.len);
}
