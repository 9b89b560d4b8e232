/*
 * validator.c
 *	  Options of endpoints: which there are, and who may set them.
 *
 * The validator of the wrapper workflow_http runs whenever a server or a user
 * mapping is created or altered.  What opens the host's network or reads its
 * files (secrets, private addresses, plain http, a CA file) takes a superuser
 * or a member of pg_read_server_files.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "access/reloptions.h"
#include "base/wake.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "effect/ledger.h"
#include "effect/option.h"
#include "effect/mask.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"

#define MAX_TIMEOUT_US	(INT64CONST(900) * 1000000)

typedef void (*OptionCheck) (const char *name, const char *value);

typedef struct OptionRule
{
	const char *name;			/* ends in '_' for a family */
	OptionCheck check;
	bool		is_privileged;
} OptionRule;

static void
check_dedup(const char *name, const char *value)
{
	(void) wf_option_dedup(value);
}

static void
check_on_5xx(const char *name, const char *value)
{
	(void) wf_option_on_5xx(value);
}

static void
check_label(const char *name, const char *value)
{
	if (*value == '\0' || strpbrk(value, "\r\n") != NULL)
		wf_option_refuse(name, value, "a name");
}

static void
check_timeout(const char *name, const char *value)
{
	if (wf_option_interval_us(name, value) > MAX_TIMEOUT_US)
		wf_option_refuse(name, value, "at most 15 minutes");
}

static void
check_interval(const char *name, const char *value)
{
	(void) wf_option_interval_us(name, value);
}

static void
check_size(const char *name, const char *value)
{
	(void) wf_option_size(name, value);
}

static void
check_bool(const char *name, const char *value)
{
	(void) wf_option_bool(name, value);
}

static void
check_count(const char *name, const char *value)
{
	(void) wf_option_count(name, value);
}

static void
check_statuses(const char *name, const char *value)
{
	(void) wf_option_statuses(name, value);
}

static void
check_rate(const char *name, const char *value)
{
	int			count;
	int64		per_us;

	wf_option_rate(value, &count, &per_us);
}

static void
check_failures(const char *name, const char *value)
{
	(void) wf_option_failures(name, value);
}

static void
check_percent(const char *name, const char *value)
{
	(void) wf_option_percent(name, value);
}

static bool
is_range(const char *range)
{
	unsigned char address[16];
	char	   *text = pstrdup(range);
	char	   *bits = strchr(text, '/');
	bool		is_ipv6 = strchr(range, ':') != NULL;

	if (bits != NULL)
	{
		*bits++ = '\0';
		if (*bits == '\0' || strspn(bits, "0123456789") != strlen(bits) ||
			strlen(bits) > 3 || atoi(bits) > (is_ipv6 ? 128 : 32))
			return false;
	}

	return inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, address) == 1;
}

static void
check_ranges(const char *name, const char *value)
{
	ListCell   *cell;

	foreach(cell, wf_option_list(value))
	{
		if (!is_range(lfirst(cell)))
			wf_option_refuse(name, lfirst(cell), "a range of addresses such as 10.1.0.0/16");
	}
}

static void
check_file(const char *name, const char *value)
{
	if (!is_absolute_path(value))
		wf_option_refuse(name, value, "an absolute path");
}

static void
check_proxy(const char *name, const char *value)
{
	const char *host = strncmp(value, "https://", 8) == 0 ? value + 8 : value + 7;

	if ((host == value + 7 && strncmp(value, "http://", 7) != 0) || *host == '\0' ||
		strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]") !=
		strlen(host))
		wf_option_refuse(name, value, "the URL of a proxy such as http://proxy.example.com:3128");
}

/*
 * Reads one or more of sha256//BASE64, with ";" between.
 */
static void
check_pins(const char *name, const char *value)
{
	char	   *rest = pstrdup(value);
	char	   *pin;

	while ((pin = strsep(&rest, ";")) != NULL)
		if (strncmp(pin, "sha256//", 8) != 0 || strlen(pin) != 8 + 44 || pin[8 + 43] != '=' ||
			strspn(pin + 8, "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/") != 43)
			wf_option_refuse(name, value,
							 "the digest of a public key as in sha256//BASE64, or several with \";\"");
}

static void
check_http_version(const char *name, const char *value)
{
	(void) wf_option_http_version(value);
}

static void
check_key_format(const char *name, const char *value)
{
	if (strcmp(value, "raw") != 0 && strcmp(value, "string") != 0)
		wf_option_refuse(name, value, "one of raw, string");
}

static void
refuse_header(const char *name, const char *why, const char *cure)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 errdetail("%s", why),
			 errhint("%s", cure)));
}

/*
 * Values of server options can be read by everybody.
 */
static void
check_header(const char *name, const char *value)
{
	char	   *header = wf_option_header_name(name + strlen("header_"));

	wf_check_header_name(name, header);
	if (wf_header_is_protocol(header))
		refuse_header(name, "The header is written by the client.", "Leave it out.");
	if (wf_header_is_reserved(header) || strncmp(name, "header_secret_", 14) == 0)
		refuse_header(name, "The options of a server are no place for credentials.",
					  "Name a secret in CREATE USER MAPPING, as in OPTIONS (header_secret_x_api_key 'name').");
	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || (unsigned char) *c == 0x7f)
			wf_option_refuse(name, "...", "free of control characters");
}

static void
check_secret(const char *name, const char *value)
{
	if (*value == '\0' || strspn(value, "abcdefghijklmnopqrstuvwxyz"
								 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\"", name),
				 errdetail("The name of a secret consists of letters, digits, \"-\" and \"_\"."),
				 errhint("Put the secret itself into a file of that name in pg_workflow.secrets_dir.")));
}

/*
 * A secret that is sent, and so may be sent back.
 */
static void
check_sent_secret(const char *name, const char *value)
{
	char	   *problem;
	char	   *secret;

	check_secret(name, value);
	secret = wf_secret_read(value, &problem);
	if (secret == NULL)
		return;
	if (strlen(secret) < WF_SHORTEST_MASKED)
		ereport(WARNING,
				(errmsg("secret \"%s\" has fewer than six characters", value),
				 errdetail("One so short is not masked where an answer sends it back, and would be stored with it."),
				 errhint("Use a longer one, or make sure that the endpoint echoes nothing.")));
	explicit_bzero(secret, strlen(secret));
}

static void
check_header_secret(const char *name, const char *value)
{
	char	   *header = wf_option_header_name(name + strlen("header_secret_"));

	wf_check_header_name(name, header);
	if (wf_header_is_protocol(header))
		refuse_header(name, "The header is written by the client.", "Leave it out.");
	check_sent_secret(name, value);
}

static const OptionRule server_rules[] = {
	{"url", wf_check_url, false},
	{"dedup", check_dedup, false},
	{"owner", check_label, false},
	{"timeout", check_timeout, false},
	{"connect_timeout", check_timeout, false},
	{"max_in_flight", check_count, false},
	{"rate_limit", check_rate, false},
	{"max_request", check_size, false},
	{"max_response", check_size, false},
	{"allow_http", check_bool, true},
	{"allow_private", check_ranges, true},
	{"key_header", wf_check_key_header, false},
	{"key_pointer", wf_check_pointer, false},
	{"key_format", check_key_format, false},
	{"key_ttl", check_interval, false},
	{"in_progress", check_statuses, false},
	{"mismatch", check_statuses, false},
	{"mismatch_codes", check_label, false},
	{"replay_marker", wf_check_marker, false},
	{"ignored_marker", wf_check_marker, false},
	{"already_done", check_statuses, false},
	{"rejects", check_statuses, false},
	{"on_5xx", check_on_5xx, false},
	{"breaker_failures", check_failures, false},
	{"breaker_rate", check_percent, false},
	{"breaker_window", check_interval, false},
	{"breaker_cooldown", check_interval, false},
	{"retry_header", wf_check_header_name, false},
	{"quota_codes", check_label, false},
	{"accepted", wf_check_accepted, false},
	{"on_unknown", wf_check_on_unknown, false},
	{"lookup_path", wf_check_lookup_path, false},
	{"lookup_method", wf_check_lookup_method, false},
	{"lookup_found", wf_option_jsonpath, false},
	{"lookup_absent", wf_option_jsonpath, false},
	{"lookup_settle", check_interval, false},
	{"absent_is_proof", check_bool, false},
	{"ca_file", check_file, true},
	{"cert_file", check_file, true},
	{"key_file", check_file, true},
	{"key_secret", check_secret, true},
	{"pinned_key", check_pins, true},
	{"proxy", check_proxy, true},
	{"http_version", check_http_version, false},
	{"stall_timeout", check_timeout, false},
	{"header_", check_header, false},
};

static const OptionRule mapping_rules[] = {
	{"bearer_secret", check_sent_secret, true},
	{"basic_secret", check_sent_secret, true},
	{"signing_secret", check_secret, true},
	{"signing_secret_previous", check_secret, true},
	{"header_secret_", check_header_secret, true},
};

static bool
rule_matches(const OptionRule *rule, const char *name)
{
	size_t		length = strlen(rule->name);

	if (rule->name[length - 1] != '_')
		return strcmp(rule->name, name) == 0;

	return strncmp(rule->name, name, length) == 0 && name[length] != '\0';
}

static char *
valid_names(const OptionRule *rules, int nrules)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < nrules; i++)
	{
		const char *name = rules[i].name;

		appendStringInfo(&names, "%s%s%s", i == 0 ? "" : ", ", name,
						 name[strlen(name) - 1] == '_' ? "..." : "");
	}

	return names.data;
}

static const OptionRule *
find_rule(const OptionRule *rules, int nrules, const char *name)
{
	for (int i = 0; i < nrules; i++)
		if (rule_matches(&rules[i], name))
			return &rules[i];
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 errdetail("The wrapper %s does not know it here.", WF_WRAPPER),
			 errhint("Valid options here are: %s.",
					 nrules == 0 ? "none" : valid_names(rules, nrules))));
	return NULL;
}

static void
require_file_reader(const char *name)
{
	if (superuser() || has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to set option \"%s\"", name),
			 errdetail("It opens files or the network of the server's host to the endpoint."),
			 errhint("Ask a superuser, or a member of pg_read_server_files, to set it.")));
}

static void
check_options(List *options, const OptionRule *rules, int nrules)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		const OptionRule *rule = find_rule(rules, nrules, option->defname);

		rule->check(option->defname, defGetString(option));
		if (rule->is_privileged)
			require_file_reader(option->defname);
	}
}

static void
require_option(List *options, const char *name, const char *why)
{
	if (wf_option_value(options, name) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
			 errmsg("option \"%s\" is missing", name),
			 errdetail("%s", why),
			 errhint("Add it: OPTIONS (%s '...').", name)));
}

static void
refuse_pair(const char *first, const char *second, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("options \"%s\" and \"%s\" cannot be used together", first, second),
			 errdetail("%s", why),
			 errhint("Leave one of them out.")));
}

/*
 * Options that do not go together.
 */
static void
refuse_pairs(List *options)
{
	const char *version = wf_option_value(options, "http_version");
	bool		has_file = wf_option_value(options, "key_file") != NULL;
	bool		has_secret = wf_option_value(options, "key_secret") != NULL;

	if (has_file && has_secret)
		refuse_pair("key_file", "key_secret", "A certificate has one key.");
	if (has_file || has_secret)
		require_option(options, "cert_file", "A key belongs to a certificate.");
	if (version != NULL && strcmp(version, "2") == 0 &&
		wf_option_dedup(wf_option_value(options, "dedup")) == WF_DEDUP_NONE)
		refuse_pair("http_version", "dedup",
					"A connection of HTTP/2 that ends makes the outcome of every call on it "
					"unknown, and without deduplication none could be repeated.");
}

static void
require_server_options(List *options)
{
	require_option(options, "url", "An endpoint is where effects go.");
	require_option(options, "dedup",
				   "How the receiver treats a second copy (key, natural, pure or none) "
				   "decides what happens when an outcome is not known.");
	if (wf_option_dedup(wf_option_value(options, "dedup")) == WF_DEDUP_NONE)
		require_option(options, "owner",
					   "Without deduplication a person must be asked when an outcome "
					   "is not known; the owner is that person or team.");
	refuse_pairs(options);
	wf_check_profile(options);
}

PG_FUNCTION_INFO_V1(wf_endpoint_validator);

/*
 * endpoint_validator(options text[], catalog oid) returns void
 */
Datum
wf_endpoint_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);

	if (catalog == ForeignServerRelationId)
	{
		check_options(options, server_rules, lengthof(server_rules));
		require_server_options(options);
	}
	else if (catalog == UserMappingRelationId)
		check_options(options, mapping_rules, lengthof(mapping_rules));
	else
		check_options(options, NULL, 0);

	/* what is blocked may depend on the option that changes */
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);

	PG_RETURN_VOID();
}
