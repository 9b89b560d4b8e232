/*
 * exchange.c
 *	  Between the values of the http room and those of the effect room.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "mb/pg_wchar.h"
#include "worker/exchange.h"

static void
wipe_texts(List *texts)
{
	ListCell   *cell;

	foreach(cell, texts)
		explicit_bzero(lfirst(cell), strlen(lfirst(cell)));
}

/*
 * Wipes what is or may be secret.
 */
static void
wipe(WfWire *wire)
{
	wipe_texts(wire->header_values);
	wipe_texts(wire->secrets);
	if (wire->client_key != NULL)
		explicit_bzero(wire->client_key, strlen(wire->client_key));
}

static void
fill_request(WfHttpRequest *request, const WfWire *wire)
{
	int			n = list_length(wire->header_names);

	request->method = wire->method;
	request->url = wire->url;
	request->nheaders = n;
	request->headers = palloc(sizeof(WfHttpHeader) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		request->headers[i].name = list_nth(wire->header_names, i);
		request->headers[i].value = list_nth(wire->header_values, i);
	}
	request->body = wire->body;
	request->body_length = wire->body_length;
	request->timeout_ms = wire->timeout_ms;
	request->connect_timeout_ms = wire->connect_timeout_ms;
	request->max_response = wire->max_response;
	request->allow_http = wire->allow_http;
	request->fresh_connection = wire->fresh_connection;
	request->allow_private = wire->allow_private;
	request->ca_file = wire->ca_file;
	request->cert_file = wire->cert_file;
	request->key_file = wire->key_file;
	request->client_key = wire->client_key;
	request->pinned_key = wire->pinned_key;
	request->proxy = wire->proxy;
	request->secrets = wire->secrets;
	request->stall_seconds = wire->stall_seconds;
	request->http_version = (WfHttpVersion) wire->http_version;
}

/*
 * Puts a call on the wire; its secrets are wiped from our memory.
 */
void
wf_exchange_start(WfHttpClient *client, int64 id, WfWire *wire)
{
	WfHttpRequest request = {.id = id};

	if (wire->is_mocked)
		elog(ERROR, "the call of effect " INT64_FORMAT " is mocked", id);
	fill_request(&request, wire);
	wf_http_start(client, &request);
	pfree(request.headers);
	wipe(wire);
}

/*
 * What a call comes to that a script answers; nothing is sent.
 */
WfHttpResult *
wf_exchange_play(int64 id, const WfWire *wire, const WfHttpScript *script)
{
	WfHttpRequest request = {.id = id};

	fill_request(&request, wire);

	return wf_http_play(&request, script);
}

/*
 * What came from outside and is not valid text here becomes question marks.
 */
static char *
foreign_text(const char *value)
{
	char	   *copy = pstrdup(value);

	if (!pg_verifymbstr(copy, strlen(copy), true))
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';

	return copy;
}

static bool
appears_later(const WfHttpResult *result, int index)
{
	for (int i = index + 1; i < result->nheaders; i++)
		if (strcmp(result->headers[i].name, result->headers[index].name) == 0)
			return true;

	return false;
}

/*
 * The headers as an object; the last of several with one name counts.
 */
static Jsonb *
headers_object(const WfHttpResult *result)
{
	WfMember   *members = palloc(sizeof(WfMember) * (result->nheaders + 1));
	int			n = 0;

	for (int i = 0; i < result->nheaders; i++)
	{
		JsonbValue *value = &members[n].value;

		if (appears_later(result, i))
			continue;
		members[n++].key = foreign_text(result->headers[i].name);
		value->type = jbvString;
		value->val.string.val = foreign_text(result->headers[i].value);
		value->val.string.len = strlen(value->val.string.val);
	}

	return wf_jsonb_object(members, n);
}

/*
 * What a call came to, as the ledger wants to know it.
 */
void
wf_exchange_read(const WfHttpResult *result, WfExchange *exchange)
{
	memset(exchange, 0, sizeof(*exchange));
	exchange->phase = result->phase;
	exchange->curl_code = result->curl_code;
	exchange->refused_by_guard = result->refused_by_guard;
	exchange->refused_ranges = result->refused_ranges;
	exchange->body_truncated = result->body_truncated;
	exchange->status = result->status;
	exchange->headers = headers_object(result);
	exchange->body = result->body;
	exchange->body_length = result->body_length;
	exchange->retry_after_ms = result->retry_after_ms;
	exchange->total_ms = result->total_ms;
	exchange->error = result->error;
}
