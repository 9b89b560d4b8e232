/*
 * endpoint.c
 *	  Endpoints: foreign servers of the wrapper workflow_http.
 *
 * The server's options say where effects go and how the receiver treats a
 * second copy; USAGE on the server is the allow-list; a user mapping (of the
 * submitting role, else of PUBLIC) names secrets.  A row in workflow.endpoint
 * is the key space of a server and survives its renaming.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "base/config.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "base/suggest.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "effect/ledger.h"
#include "foreign/foreign.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define DEFAULT_TIMEOUT_MS			30000
#define DEFAULT_CONNECT_TIMEOUT_MS	5000
#define DEFAULT_STALL_SECONDS		60
#define MIN_SETTLE_US				(INT64CONST(60) * 1000000)
#define DEFAULT_MAX_IN_FLIGHT		16
#define DEFAULT_KEY_TTL_US			(INT64CONST(24) * 3600 * 1000000)
#define DEFAULT_BREAKER_FAILURES	5
#define DEFAULT_BREAKER_PERCENT		50
#define DEFAULT_BREAKER_WINDOW_US	(INT64CONST(60) * 1000000)
#define DEFAULT_BREAKER_COOLDOWN_US	(INT64CONST(30) * 1000000)

static WfPlan known_endpoint_plan = {
	.name = "known endpoint",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, OIDOID},
	.sql = "SELECT endpoint_id FROM workflow.endpoint "
	"WHERE endpoint = $1::text AND server_oid = $2::oid",
};

/* Finds the key space of a new, renamed or re-created server: sql/effect.sql. */
static WfPlan learn_endpoint_plan = {
	.name = "learn endpoint",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, OIDOID},
	.sql = "SELECT workflow._learn_endpoint($1::text, $2::oid)",
};

static WfPlan endpoint_by_id_plan = {
	.name = "endpoint by id",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT4OID},
	.sql = "SELECT endpoint, server_oid, paused_at IS NOT NULL, pause_until, breaker, "
	"breaker_since, breaker_until, breaker_openings, coalesce(breaker_probe, 0) "
	"FROM workflow.endpoint WHERE endpoint_id = $1::int4",
};

const char *
wf_dedup_name(WfDedup dedup)
{
	static const char *const names[] = {"key", "natural", "pure", "none"};

	return names[dedup];
}

static bool
belongs_to_wrapper(const ForeignServer *server)
{
	return strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, WF_WRAPPER) == 0;
}

static void
read_flow_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	if (strcmp(name, "timeout") == 0)
		endpoint->timeout_ms = wf_option_interval_us(name, value) / 1000;
	else if (strcmp(name, "connect_timeout") == 0)
		endpoint->connect_timeout_ms = wf_option_interval_us(name, value) / 1000;
	else if (strcmp(name, "max_in_flight") == 0)
		endpoint->max_in_flight = wf_option_count(name, value);
	else if (strcmp(name, "rate_limit") == 0)
		wf_option_rate(value, &endpoint->rate_count, &endpoint->rate_per_us);
	else if (strcmp(name, "max_request") == 0)
		endpoint->max_request = Min(endpoint->max_request, wf_option_size(name, value));
	else if (strcmp(name, "max_response") == 0)
		endpoint->max_response = Min(endpoint->max_response, wf_option_size(name, value));
}

static void
read_key_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	if (strcmp(name, "dedup") == 0)
		endpoint->dedup = wf_option_dedup(value);
	else if (strcmp(name, "key_header") == 0)
		endpoint->key_header = value;
	else if (strcmp(name, "key_pointer") == 0)
		endpoint->key_pointer = value;
	else if (strcmp(name, "replay_marker") == 0)
		endpoint->replay_marker = value;
	else if (strcmp(name, "ignored_marker") == 0)
		endpoint->ignored_marker = value;
	else if (strcmp(name, "retry_header") == 0)
		endpoint->retry_header = value;
	else if (strcmp(name, "quota_codes") == 0)
		endpoint->quota_codes = wf_option_list(value);
	else if (strcmp(name, "key_format") == 0)
		endpoint->key_is_quoted = strcmp(value, "string") == 0;
	else if (strcmp(name, "key_ttl") == 0)
		endpoint->key_ttl_us = wf_option_interval_us(name, value);
	else if (strcmp(name, "in_progress") == 0)
		endpoint->in_progress = wf_option_statuses(name, value);
	else if (strcmp(name, "mismatch") == 0)
		endpoint->mismatch = wf_option_statuses(name, value);
	else if (strcmp(name, "mismatch_codes") == 0)
		endpoint->mismatch_codes = wf_option_list(value);
	else if (strcmp(name, "already_done") == 0)
		endpoint->already_done = wf_option_statuses(name, value);
	else if (strcmp(name, "rejects") == 0)
		endpoint->rejects = wf_option_statuses(name, value);
	else if (strcmp(name, "on_5xx") == 0)
		endpoint->on_5xx = wf_option_on_5xx(value);
}

static void
read_lookup_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	WfLookup   *lookup = &endpoint->lookup;

	if (strcmp(name, "lookup_path") == 0)
		lookup->path = value;
	else if (strcmp(name, "lookup_method") == 0)
		lookup->method = value;
	else if (strcmp(name, "lookup_found") == 0)
		lookup->found = value;
	else if (strcmp(name, "lookup_absent") == 0)
		lookup->absent = value;
	else if (strcmp(name, "lookup_settle") == 0)
		lookup->settle_us = wf_option_interval_us(name, value);
	else if (strcmp(name, "accepted") == 0)
		endpoint->accepted_is_open = strcmp(value, "probe") == 0;
	else if (strcmp(name, "absent_is_proof") == 0)
		lookup->absent_is_proof = wf_option_bool(name, value);
}

/*
 * What the options leave open follows from the others.
 */
static void
derive(WfEndpoint *endpoint, const char *on_unknown)
{
	WfLookup   *lookup = &endpoint->lookup;

	endpoint->on_unknown = on_unknown != NULL ? wf_option_on_unknown(on_unknown) :
		wf_default_on_unknown(endpoint->dedup, lookup->path != NULL);
	if (lookup->settle_us == 0)
		lookup->settle_us = Max((int64) endpoint->timeout_ms * 2000, MIN_SETTLE_US);
}

static void
read_access_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	if (strcmp(name, "url") == 0)
	{
		char	   *url = pstrdup(value);

		while (*url != '\0' && url[strlen(url) - 1] == '/')
			url[strlen(url) - 1] = '\0';
		endpoint->url = url;
	}
	else if (strcmp(name, "owner") == 0)
		endpoint->owner = value;
	else if (strcmp(name, "allow_http") == 0)
		endpoint->allow_http = wf_option_bool(name, value);
	else if (strcmp(name, "allow_private") == 0)
		endpoint->allow_private = wf_option_list(value);
	else if (strncmp(name, "header_", 7) == 0)
	{
		endpoint->header_names = lappend(endpoint->header_names,
										 wf_option_header_name(name + 7));
		endpoint->header_values = lappend(endpoint->header_values, pstrdup(value));
	}
}

static void
read_connection_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	if (strcmp(name, "ca_file") == 0)
		endpoint->ca_file = value;
	else if (strcmp(name, "cert_file") == 0)
		endpoint->cert_file = value;
	else if (strcmp(name, "key_file") == 0)
		endpoint->key_file = value;
	else if (strcmp(name, "key_secret") == 0)
		endpoint->key_secret = value;
	else if (strcmp(name, "pinned_key") == 0)
		endpoint->pinned_key = value;
	else if (strcmp(name, "proxy") == 0)
		endpoint->proxy = value;
	else if (strcmp(name, "http_version") == 0)
		endpoint->http_version = wf_option_http_version(value);
	else if (strcmp(name, "stall_timeout") == 0)
		endpoint->stall_seconds = Max(1, wf_option_interval_us(name, value) / USECS_PER_SEC);
}

static void
read_breaker_option(WfEndpoint *endpoint, const char *name, const char *value)
{
	if (strcmp(name, "breaker_failures") == 0)
		endpoint->breaker_failures = wf_option_failures(name, value);
	else if (strcmp(name, "breaker_rate") == 0)
		endpoint->breaker_percent = wf_option_percent(name, value);
	else if (strcmp(name, "breaker_window") == 0)
		endpoint->breaker_window_us = wf_option_interval_us(name, value);
	else if (strcmp(name, "breaker_cooldown") == 0)
		endpoint->breaker_cooldown_us = wf_option_interval_us(name, value);
}

static WfEndpoint *
read_server(const ForeignServer *server)
{
	WfEndpoint *endpoint = palloc0(sizeof(WfEndpoint));
	const char *on_unknown = NULL;
	ListCell   *cell;

	endpoint->server = server->serverid;
	endpoint->server_owner = server->owner;
	endpoint->name = server->servername;
	endpoint->url = "";
	endpoint->dedup = WF_DEDUP_NONE;
	endpoint->lookup.method = "GET";
	endpoint->timeout_ms = DEFAULT_TIMEOUT_MS;
	endpoint->connect_timeout_ms = DEFAULT_CONNECT_TIMEOUT_MS;
	endpoint->max_in_flight = DEFAULT_MAX_IN_FLIGHT;
	endpoint->max_request = (int64) wf_max_request_kb * 1024;
	endpoint->max_response = (int64) wf_max_response_kb * 1024;
	endpoint->stall_seconds = DEFAULT_STALL_SECONDS;
	endpoint->key_header = "Idempotency-Key";
	endpoint->key_ttl_us = DEFAULT_KEY_TTL_US;
	endpoint->in_progress = list_make1_int(409);
	endpoint->mismatch = list_make1_int(422);
	endpoint->breaker_failures = DEFAULT_BREAKER_FAILURES;
	endpoint->breaker_percent = DEFAULT_BREAKER_PERCENT;
	endpoint->breaker_window_us = DEFAULT_BREAKER_WINDOW_US;
	endpoint->breaker_cooldown_us = DEFAULT_BREAKER_COOLDOWN_US;
	endpoint->quota_codes = wf_default_quota_codes();
	endpoint->mismatch_codes = wf_default_mismatch_codes();
	foreach(cell, server->options)
	{
		DefElem    *option = lfirst(cell);
		const char *value = defGetString(option);

		read_access_option(endpoint, option->defname, value);
		read_connection_option(endpoint, option->defname, value);
		read_flow_option(endpoint, option->defname, value);
		read_key_option(endpoint, option->defname, value);
		read_breaker_option(endpoint, option->defname, value);
		read_lookup_option(endpoint, option->defname, value);
		if (strcmp(option->defname, "on_unknown") == 0)
			on_unknown = value;
	}
	derive(endpoint, on_unknown);

	return endpoint;
}

static int32
key_space(const char *name, Oid server)
{
	Datum		values[2] = {CStringGetTextDatum(name), ObjectIdGetDatum(server)};

	if (wf_plan_execute(&known_endpoint_plan, values, NULL) == 0)
		wf_plan_execute(&learn_endpoint_plan, values, NULL);

	return wf_result_int4(0, 1);
}

/*
 * Returns the endpoint of that name; raises WF010 when there is none.
 */
WfEndpoint *
wf_endpoint_find(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	WfEndpoint *endpoint;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
				 errmsg("endpoint \"%s\" does not exist", name),
				 errdetail("There is no foreign server of that name."),
				 errhint("%sCREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (url 'https://...', dedup '...');",
						 wf_nearest_stored("endpoint", name), quote_identifier(name), WF_WRAPPER)));
	if (!belongs_to_wrapper(server))
		ereport(ERROR,
				(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
				 errmsg("foreign server \"%s\" is not an endpoint", name),
				 errdetail("It belongs to another foreign data wrapper than %s.", WF_WRAPPER),
				 errhint("CREATE SERVER ... FOREIGN DATA WRAPPER %s makes an endpoint.", WF_WRAPPER)));
	endpoint = read_server(server);
	endpoint->endpoint_id = key_space(name, server->serverid);

	return endpoint;
}

/*
 * The server of that name, else the one that was last seen under it: a name
 * is the better identity, because a restore gives servers new oids.
 */
static ForeignServer *
find_server(const char *name, Oid last_seen)
{
	ForeignServer *server = GetForeignServerByName(name, true);

	if (server == NULL)
		server = GetForeignServerExtended(last_seen, FSV_MISSING_OK);

	return server != NULL && belongs_to_wrapper(server) ? server : NULL;
}

static TimestampTz
time_column(int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(0, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * What endpoint_by_id_plan found about the flow.
 */
static WfFlow
read_flow(void)
{
	const char *breaker = wf_result_text(0, 5);
	WfFlow		flow = {0};

	flow.is_paused = DatumGetBool(wf_result_datum(0, 3, NULL));
	flow.pause_until = time_column(4);
	flow.breaker = strcmp(breaker, "open") == 0 ? WF_BREAKER_OPEN :
		strcmp(breaker, "half_open") == 0 ? WF_BREAKER_HALF_OPEN : WF_BREAKER_CLOSED;
	flow.breaker_since = time_column(6);
	flow.breaker_until = time_column(7);
	flow.breaker_openings = wf_result_int4(0, 8);
	flow.breaker_probe = wf_result_int8(0, 9);

	return flow;
}

/*
 * Returns the endpoint that a key space belongs to now; NULL when its server
 * is gone.
 */
WfEndpoint *
wf_endpoint_by_id(int32 endpoint_id)
{
	Datum		id = Int32GetDatum(endpoint_id);
	ForeignServer *server;
	WfEndpoint *endpoint;
	WfFlow		flow;

	if (wf_plan_execute(&endpoint_by_id_plan, &id, NULL) == 0)
		return NULL;
	flow = read_flow();
	server = find_server(wf_result_text(0, 1),
						 DatumGetObjectId(wf_result_datum(0, 2, NULL)));
	if (server == NULL)
		return NULL;
	endpoint = read_server(server);
	endpoint->endpoint_id = endpoint_id;
	endpoint->flow = flow;

	return endpoint;
}

/*
 * Tells whether the role exists and has USAGE on the server.
 */
bool
wf_endpoint_is_usable_by(const WfEndpoint *endpoint, const char *role)
{
	Oid			roleid = get_role_oid(role, true);

	return OidIsValid(roleid) &&
		DatumGetBool(DirectFunctionCall3(has_server_privilege_id_id,
										 ObjectIdGetDatum(roleid),
										 ObjectIdGetDatum(endpoint->server),
										 CStringGetTextDatum("USAGE")));
}

void
wf_endpoint_require_usage(const WfEndpoint *endpoint, const char *role)
{
	if (wf_endpoint_is_usable_by(endpoint, role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
			 errmsg("role \"%s\" may not use endpoint \"%s\"", role, endpoint->name),
			 errdetail("USAGE on the foreign server is the list of who may."),
			 errhint("GRANT USAGE ON FOREIGN SERVER %s TO %s;",
					 quote_identifier(endpoint->name), quote_identifier(role))));
}

static bool
is_safe(const WfEndpoint *endpoint)
{
	return endpoint->allow_http || strncmp(endpoint->url, "https://", 8) == 0;
}

void
wf_endpoint_require_scheme(const WfEndpoint *endpoint)
{
	if (is_safe(endpoint))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WF_ENDPOINT_REFUSED),
			 errmsg("endpoint \"%s\" is refused: its url is not https", endpoint->name),
			 errdetail("The url is \"%s\".", endpoint->url),
			 errhint("ALTER SERVER %s OPTIONS (ADD allow_http 'true');",
					 quote_identifier(endpoint->name))));
}

/*
 * Why the role may send nothing there, and what would change that; NULL when
 * it may.
 */
char *
wf_endpoint_refusal(const WfEndpoint *endpoint, const char *role)
{
	if (strcmp(role, WF_NO_ROLE) == 0)
		return pstrdup("the role that submitted it does not exist any more: "
					   "UPDATE workflow.effect SET submitted_by = ... gives it to another one");
	if (!wf_endpoint_is_usable_by(endpoint, role))
		return psprintf("role \"%s\" has no USAGE: GRANT USAGE ON FOREIGN SERVER %s TO %s",
						role, quote_identifier(endpoint->name), quote_identifier(role));
	if (!is_safe(endpoint))
		return psprintf("its url is not https: ALTER SERVER %s OPTIONS (ADD allow_http 'true')",
						quote_identifier(endpoint->name));

	return NULL;
}

static HeapTuple
find_mapping(Oid role, Oid server)
{
	HeapTuple	mapping = SearchSysCache2(USERMAPPINGUSERSERVER,
										  ObjectIdGetDatum(role),
										  ObjectIdGetDatum(server));

	if (!HeapTupleIsValid(mapping))
		mapping = SearchSysCache2(USERMAPPINGUSERSERVER,
								  ObjectIdGetDatum(InvalidOid),
								  ObjectIdGetDatum(server));

	return mapping;
}

/*
 * Returns the options (List of DefElem) of the role's user mapping, else of
 * that of PUBLIC; NIL when there is none.
 */
List *
wf_endpoint_mapping(const WfEndpoint *endpoint, const char *role)
{
	HeapTuple	mapping = find_mapping(get_role_oid(role, true), endpoint->server);
	List	   *options = NIL;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(mapping))
		return NIL;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, mapping,
							Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(value);
	ReleaseSysCache(mapping);

	return options;
}
