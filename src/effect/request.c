/*
 * request.c
 *	  What goes on the wire for an effect, secrets included.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "base/cluster.h"
#include "base/config.h"
#include "base/jsonb.h"
#include "commands/defrem.h"
#include "effect/ledger.h"
#include "effect/mask.h"
#include "effect/mock.h"
#include "effect/model.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#define MAX_SENT_KEY	255

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

/*
 * What the request names itself, but the type of its body, which is stored
 * beside the body.
 */
static void
add_own_headers(WfWire *wire, Jsonb *headers)
{
	int			count = 0;
	WfMember   *members = headers == NULL ? NULL :
	wf_jsonb_members(wf_jsonb_root(headers), &count);

	for (int i = 0; i < count; i++)
		if (pg_strcasecmp(members[i].key, "content-type") != 0)
			wf_wire_add_header(wire, members[i].key, wf_jsonb_value_text(&members[i].value));
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
char *
wf_sent_key(const char *key, bool is_quoted)
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

/*
 * A mapping may have got a header after the request was intended.
 */
static bool
header_is_free(const WfWire *wire, const char *option, char **problem)
{
	char	   *name;

	if (strncmp(option, "header_secret_", 14) != 0)
		return true;
	name = wf_option_header_name(option + 14);
	if (!has_header(wire, name))
		return true;
	*problem = psprintf("header \"%s\" is set by the user mapping and elsewhere, too", name);

	return false;
}

/*
 * Of basic credentials the password alone is a secret, too.
 */
static List *
add_password(List *secrets, const char *credentials)
{
	const char *colon = strchr(credentials, ':');

	return colon == NULL ? secrets : wf_mask_add(secrets, colon + 1);
}

static bool
add_secrets(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint, char **problem)
{
	List	   *mapping = wf_endpoint_mapping(endpoint, effect->submitted_by);
	ListCell   *cell;

	foreach(cell, mapping)
	{
		DefElem    *option = lfirst(cell);
		char	   *secret = wf_wire_secret(wire, defGetString(option), problem);

		if (secret == NULL || !header_is_free(wire, option->defname, problem))
			return false;
		wire->secrets = wf_mask_add(wire->secrets, secret);
		if (strcmp(option->defname, "basic_secret") == 0)
			wire->secrets = add_password(wire->secrets, secret);
		use_secret(wire, option->defname, secret);
		explicit_bzero(secret, strlen(secret));
	}

	return wire->kind != WF_EXCHANGE_ACTION || wf_sign_wire(wire, effect, mapping, problem);
}

static void
fill_action(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint)
{
	wire->method = effect->method;
	wire->url = psprintf("%s%s", endpoint->url, effect->path);
	if (effect->body != NULL)
		wf_wire_body(wire, effect, endpoint);
	add_own_headers(wire, effect->headers);
	if (wire->body != NULL && effect->content_type != NULL)
		wf_wire_add_header(wire, "Content-Type", effect->content_type);
	if (wf_revert_condition(effect) != NULL)
		add_default_header(wire, "If-Match", wf_revert_condition(effect));
	if ((endpoint->dedup == WF_DEDUP_KEY || effect->key_ignored) && endpoint->key_pointer == NULL)
		wf_wire_add_header(wire, endpoint->key_header,
						   wf_sent_key(wf_revert_key(effect), endpoint->key_is_quoted));
}

static void
fill_before(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(effect->spec, "before");
	Jsonb	   *headers = wf_jsonb_get_jsonb(before, "headers");

	wire->method = wf_jsonb_get_text(before, "method");
	wire->url = psprintf("%s%s", endpoint->url, wf_jsonb_get_text(before, "path"));
	add_own_headers(wire, headers != NULL ? headers : effect->headers);
}

/*
 * A condition that the action was sent under is none of the lookup's.
 */
static bool
fill_probe(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint, char **problem)
{
	char	   *path = wf_lookup_path(effect, endpoint, problem);
	int			count = 0;
	WfMember   *members = effect->headers == NULL ? NULL :
	wf_jsonb_members(wf_jsonb_root(effect->headers), &count);
	Jsonb	   *headers = effect->headers;

	if (path == NULL)
		return false;
	for (int i = 0; i < count; i++)
		if (pg_strncasecmp(members[i].key, "if-", 3) == 0)
			headers = wf_jsonb_without(headers, members[i].key);
	wire->method = endpoint->lookup.method;
	wire->url = psprintf("%s%s", endpoint->url, path);
	add_own_headers(wire, headers);

	return true;
}

static void
fill_connection(WfWire *wire, const WfEndpoint *endpoint)
{
	wire->ca_file = endpoint->ca_file;
	wire->cert_file = endpoint->cert_file;
	wire->key_file = endpoint->key_file;
	wire->pinned_key = endpoint->pinned_key;
	wire->proxy = endpoint->proxy;
	wire->stall_seconds = endpoint->stall_seconds;
	wire->http_version = endpoint->http_version;
}

/*
 * Fills in what goes on the wire, secrets included.  wire->kind chooses
 * between the action and what is read for it.  Returns false, with *problem,
 * when a secret cannot be read.
 */
bool
wf_fill_wire(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint,
			 char **problem)
{
	int			timeout_ms = effect->timeout_ms > 0 ? effect->timeout_ms : endpoint->timeout_ms;

	wire->effect_id = effect->effect_id;
	wire->receiver = endpoint->url;
	wire->timeout_ms = Min(timeout_ms, endpoint->timeout_ms);
	wire->connect_timeout_ms = Min(endpoint->connect_timeout_ms, wire->timeout_ms);
	wire->max_response = endpoint->max_response;
	wire->allow_http = endpoint->allow_http;
	wire->allow_private = endpoint->allow_private;
	wire->fresh_connection = endpoint->dedup == WF_DEDUP_NONE &&
		wire->kind == WF_EXCHANGE_ACTION;
	fill_connection(wire, endpoint);
	switch (wire->kind)
	{
		case WF_EXCHANGE_ACTION:
			fill_action(wire, effect, endpoint);
			break;
		case WF_EXCHANGE_BEFORE:
			fill_before(wire, effect, endpoint);
			break;
		case WF_EXCHANGE_PROBE:
			if (!fill_probe(wire, effect, endpoint, problem))
				return false;
			break;
	}
	add_endpoint_headers(wire, endpoint);
	if (wf_model_api_version(effect) != NULL)
		add_default_header(wire, "anthropic-version", wf_model_api_version(effect));
	add_default_header(wire, "Accept", "application/json");
	add_default_header(wire, "User-Agent", "pg_workflow/" WF_VERSION);

	if (endpoint->key_secret != NULL)
	{
		wire->client_key = wf_wire_secret(wire, endpoint->key_secret, problem);
		if (wire->client_key == NULL)
			return false;
	}

	return add_secrets(wire, effect, endpoint, problem);
}

/*
 * A text that changes when the file does.
 */
static char *
file_stamp(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return pstrdup("missing");

	return psprintf("%lu:%ld:%ld.%09ld", (unsigned long) status.st_ino, (long) status.st_size,
					(long) status.st_mtim.tv_sec, (long) status.st_mtim.tv_nsec);
}

static bool
names_file(const char *option)
{
	return strcmp(option, "ca_file") == 0 || strcmp(option, "cert_file") == 0 ||
		strcmp(option, "key_file") == 0;
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
		if (are_secrets || strcmp(option->defname, "key_secret") == 0)
			value = wf_secret_stamp(value);
		else if (names_file(option->defname))
			value = psprintf("%s:%s", value, file_stamp(value));
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
	const char *mode = psprintf("%d:%d", wf_effects_mode, wf_cluster_state());

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
