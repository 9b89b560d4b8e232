/*
 * request.c
 *	  From a request in values to a libcurl handle that is ready to send.
 *
 * Everything that comes from outside is checked here, after all templating:
 * method, URL, header names and values.  What is wrong is refused, never
 * dropped or mended.  Options that could make libcurl send more than was asked
 * (redirects, authentication rounds, cookies, netrc) are off.
 */
#include "postgres.h"

#include "base/config.h"
#include "http/call.h"

#define MAX_URL_LENGTH		8192
#define MAX_HEADERS			100
#define MAX_HEADER_BYTES	(64 * 1024)


/* Headers that libcurl writes itself, or that change what a message means. */
static const char *const forbidden_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive",
	"te", "trailer", "upgrade", "expect",
};

static bool
refuse(WfHttpCall *call, CURLcode code, const char *problem)
{
	call->code = code;
	strlcpy(call->problem, problem, sizeof(call->problem));

	return false;
}

static bool
is_token(const char *text)
{
	static const char *const others = "!#$%&'*+-.^_`|~";

	if (*text == '\0')
		return false;
	for (const char *c = text; *c != '\0'; c++)
		if (!isalnum((unsigned char) *c) && strchr(others, *c) == NULL)
			return false;

	return true;
}

static bool
is_clean_value(const char *text)
{
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
		if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
			return false;

	return true;
}

static bool
is_forbidden_header(const char *name)
{
	for (int i = 0; i < lengthof(forbidden_headers); i++)
		if (pg_strcasecmp(name, forbidden_headers[i]) == 0)
			return true;

	return pg_strncasecmp(name, "proxy-", 6) == 0;
}

static bool
check_header(WfHttpCall *call, const WfHttpHeader *header)
{
	char		problem[256];

	if (!is_token(header->name))
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT,
					  "a header name is not a token of RFC 9110");
	if (is_forbidden_header(header->name))
	{
		snprintf(problem, sizeof(problem), "header \"%s\" may not be set", header->name);
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT, problem);
	}
	if (!is_clean_value(header->value))
	{
		snprintf(problem, sizeof(problem),
				 "the value of header \"%s\" contains a control character", header->name);
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT, problem);
	}

	return true;
}

static bool
check_headers(WfHttpCall *call, const WfHttpRequest *request)
{
	size_t		nbytes = 0;

	for (int i = 0; i < request->nheaders; i++)
	{
		if (!check_header(call, &request->headers[i]))
			return false;
		nbytes += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 4;
	}
	if (request->nheaders > MAX_HEADERS || nbytes > MAX_HEADER_BYTES)
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT, "the request has too many headers");

	return true;
}

static bool
check_method(WfHttpCall *call, const char *method)
{
	if (!is_token(method) || strlen(method) > 20)
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT,
					  "the method is not a token of RFC 9110");
	if (pg_strcasecmp(method, "CONNECT") == 0 || pg_strcasecmp(method, "TRACE") == 0)
		return refuse(call, CURLE_BAD_FUNCTION_ARGUMENT, "the method is not supported");

	return true;
}

static bool
check_scheme(WfHttpCall *call, CURLU *url, bool allow_http)
{
	char	   *scheme = NULL;
	bool		is_https;
	bool		is_http;

	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
		return refuse(call, CURLE_URL_MALFORMAT, "the URL has no scheme");
	is_https = strcmp(scheme, "https") == 0;
	is_http = strcmp(scheme, "http") == 0;
	curl_free(scheme);

	if (is_https || (is_http && allow_http))
		return true;
	call->scheme_refused = true;

	return refuse(call, CURLE_UNSUPPORTED_PROTOCOL,
				  is_http ? "http is not allowed for this endpoint, only https"
				  : "the scheme of the URL is not https");
}

/*
 * Parses the URL with the parser that will also send it.
 */
static bool
check_url(WfHttpCall *call, const WfHttpRequest *request)
{
	CURLU	   *url;
	bool		ok;

	if (strlen(request->url) > MAX_URL_LENGTH || !is_clean_value(request->url) ||
		strpbrk(request->url, " \t") != NULL)
		return refuse(call, CURLE_URL_MALFORMAT,
					  "the URL is too long or contains a space or a control character");
	url = curl_url();
	if (url == NULL)
		return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");

	if (curl_url_set(url, CURLUPART_URL, request->url,
					 CURLU_DISALLOW_USER | CURLU_PATH_AS_IS) != CURLUE_OK)
		ok = refuse(call, CURLE_URL_MALFORMAT,
					"the URL is malformed or names a user");
	else
		ok = check_scheme(call, url, request->allow_http);
	curl_url_cleanup(url);

	return ok;
}

static bool
append_header(WfHttpCall *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);

	if (longer == NULL)
		return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");
	call->headers = longer;

	return true;
}

/*
 * An empty value is written "Name;": "Name:" would remove the header.
 */
static bool
copy_header(WfHttpCall *call, const WfHttpHeader *header)
{
	size_t		size = strlen(header->name) + strlen(header->value) + 3;
	char	   *line = malloc(size);
	bool		ok;

	if (line == NULL)
		return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");
	if (*header->value == '\0')
		snprintf(line, size, "%s;", header->name);
	else
		snprintf(line, size, "%s: %s", header->name, header->value);
	ok = append_header(call, line);
	free(line);

	return ok;
}

static bool
copy_headers(WfHttpCall *call, const WfHttpRequest *request)
{
	bool		has_content_type = false;

	for (int i = 0; i < request->nheaders; i++)
	{
		const WfHttpHeader *header = &request->headers[i];

		if (pg_strcasecmp(header->name, "content-type") == 0)
			has_content_type = true;
		/* libcurl then also decompresses, and the cap counts what comes out */
		if (pg_strcasecmp(header->name, "accept-encoding") == 0)
			(void) curl_easy_setopt(call->easy, CURLOPT_ACCEPT_ENCODING, header->value);
		else if (!copy_header(call, header))
			return false;
	}

	/* no waiting for "100 Continue", no invented type */
	return append_header(call, "Expect:") &&
		(has_content_type || append_header(call, "Content-Type:"));
}

static bool
method_takes_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
		strcmp(method, "PATCH") == 0;
}

static bool
set_method_and_body(WfHttpCall *call, const WfHttpRequest *request)
{
	CURL	   *easy = call->easy;

	if (strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (request->body != NULL || method_takes_body(request->method))
	{
		call->body = malloc(request->body_length + 1);
		if (call->body == NULL)
			return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");
		if (request->body_length > 0)
			memcpy(call->body, request->body, request->body_length);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
	}
	else
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);

	if (curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) != CURLE_OK)
		return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");

	return true;
}

/*
 * Closes every door that could lead elsewhere or send more than once.
 */
static bool
set_limits(CURL *easy, const WfHttpRequest *request)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long) wf_connection_idle_s);
	curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long) wf_connection_lifetime_s);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) request->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) request->fresh_connection);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long) request->fresh_connection);

	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
							request->allow_http ? "http,https" : "https") == CURLE_OK;
}

/*
 * A connection of HTTP/2 that ends makes the outcome of every call on it
 * unknown, so who wants a connection for itself gets HTTP/1.1.
 */
static void
set_version(CURL *easy, const WfHttpRequest *request)
{
	bool		is_https = pg_strncasecmp(request->url, "https:", 6) == 0;
	long		version = CURL_HTTP_VERSION_2TLS;

	if (request->fresh_connection || request->http_version == WF_HTTP_1_1)
		version = CURL_HTTP_VERSION_1_1;
	else if (request->http_version == WF_HTTP_2)
	{
		curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
		if (!is_https)
			version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	}
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
}

/*
 * The environment has no say: without a proxy of its own a call uses none.
 * What a proxy answers to CONNECT is not the answer, and what the target is
 * sent is not the proxy's.
 */
static bool
set_proxy(CURL *easy, const char *proxy)
{
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);

	return curl_easy_setopt(easy, CURLOPT_PROXY, proxy == NULL ? "" : proxy) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_NOPROXY, proxy == NULL ? "*" : "") == CURLE_OK;
}

static bool
set_text(CURL *easy, CURLoption option, const char *text)
{
	return text == NULL || curl_easy_setopt(easy, option, text) == CURLE_OK;
}

static bool
set_client_key(CURL *easy, const char *pem)
{
	struct curl_blob blob = {(void *) pem, 0, CURL_BLOB_COPY};

	if (pem == NULL)
		return true;
	blob.len = strlen(pem);

	return curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &blob) == CURLE_OK;
}

static bool
set_tls(CURL *easy, const WfHttpRequest *request)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);

	/* a file that is mended counts at once, not when libcurl reads it again */
	if (request->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);

	return set_text(easy, CURLOPT_CAINFO, request->ca_file) &&
		set_text(easy, CURLOPT_PROXY_CAINFO, request->ca_file) &&
		set_text(easy, CURLOPT_SSLCERT, request->cert_file) &&
		set_text(easy, CURLOPT_KEYPASSWD, "") &&	/* never ask a terminal */
		set_text(easy, CURLOPT_SSLKEY, request->key_file) &&
		set_text(easy, CURLOPT_PINNEDPUBLICKEY, request->pinned_key) &&
		set_client_key(easy, request->client_key);
}

static void
set_callbacks(WfHttpCall *call)
{
	CURL	   *easy = call->easy;

	call->received.easy = easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, wf_guard_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &call->guard);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, wf_guard_before_send);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, &call->guard);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, wf_received_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call->received);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, wf_received_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call->received);
}

/*
 * The copies are wiped with the call.
 */
static bool
copy_secrets(WfHttpCall *call, List *secrets)
{
	ListCell   *cell;

	if (secrets == NIL)
		return true;
	call->secrets = calloc(list_length(secrets), sizeof(char *));
	if (call->secrets == NULL)
		return false;
	foreach(cell, secrets)
	{
		call->secrets[call->nsecrets] = strdup(lfirst(cell));
		if (call->secrets[call->nsecrets++] == NULL)
			return false;
	}

	return true;
}

/*
 * Checks a request and makes the handle that will send it.  Returns false,
 * with call->code and call->problem set, when it is not to be sent.
 */
bool
wf_call_prepare(WfHttpCall *call, const WfHttpRequest *request)
{
	call->id = request->id;
	call->received.max_body = request->max_response;
	call->received.stall_seconds = request->stall_seconds;
	if (!check_method(call, request->method) || !check_url(call, request) ||
		!check_headers(call, request))
		return false;

	call->easy = curl_easy_init();
	if (call->easy == NULL || !wf_guard_allow(&call->guard, request->allow_private) ||
		!set_limits(call->easy, request) || !set_proxy(call->easy, request->proxy) ||
		!set_tls(call->easy, request) || !copy_secrets(call, request->secrets) ||
		curl_easy_setopt(call->easy, CURLOPT_URL, request->url) != CURLE_OK)
		return refuse(call, CURLE_OUT_OF_MEMORY, "out of memory");
	set_callbacks(call);
	set_version(call->easy, request);
	if (!set_method_and_body(call, request) || !copy_headers(call, request))
		return false;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);

	return true;
}

static void
wipe_and_free(char *memory, size_t length)
{
	if (memory != NULL)
		explicit_bzero(memory, length);
	free(memory);
}

/*
 * Frees all that a call holds; header lines may be secrets.
 */
void
wf_call_free(WfHttpCall *call)
{
	if (call->easy != NULL)
		curl_easy_cleanup(call->easy);
	for (struct curl_slist *each = call->headers; each != NULL; each = each->next)
		explicit_bzero(each->data, strlen(each->data));
	curl_slist_free_all(call->headers);
	for (int i = 0; i < call->nsecrets; i++)
		if (call->secrets[i] != NULL)
			wipe_and_free(call->secrets[i], strlen(call->secrets[i]));
	free(call->secrets);
	free(call->body);
	free(call->guard.allowed);
	wipe_and_free(call->received.head, call->received.head_length);
	free(call->received.body);
	free(call);
}
