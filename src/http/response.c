/*
 * response.c
 *	  What comes back: bounded while it arrives, copied when it is done.
 *
 * The two callbacks append to malloc'ed buffers and return a short count when
 * a limit is passed, which ends the transfer.  The body is counted as libcurl
 * hands it over, so after decompression.  Of the headers, the last block is
 * kept: an interim answer (1xx) comes before it.
 */
#include "postgres.h"

#include <time.h>

#include "http/call.h"
#include "lib/stringinfo.h"

#define MAX_HEADERS			100
#define MAX_HEAD_BYTES		(64 * 1024)
#define MIN_MASKED			6
#define MAX_RETRY_AFTER_MS	(INT64CONST(24) * 3600 * 1000)

/*
 * Appends to a buffer that grows by doubling; false when out of memory.
 */
static bool
append(char **buffer, size_t *length, size_t *size, const char *data, size_t count)
{
	if (*length + count > *size)
	{
		size_t		larger = Max(*size * 2, Max(*length + count, 4096));
		char	   *moved = realloc(*buffer, larger);

		if (moved == NULL)
			return false;
		*buffer = moved;
		*size = larger;
	}
	memcpy(*buffer + *length, data, count);
	*length += count;

	return true;
}

/*
 * The status of a line such as "HTTP/1.1 200 OK": three digits and no more; 0
 * for anything else, whatever libcurl makes of it.
 */
static int
status_of(const char *line, size_t length)
{
	const char *end = line + length;
	const char *digit = memchr(line, ' ', length);
	int			status = 0;

	if (digit == NULL || end - digit < 4)
		return 0;
	for (int i = 1; i <= 3; i++)
	{
		if (!isdigit((unsigned char) digit[i]))
			return 0;
		status = status * 10 + (digit[i] - '0');
	}

	return end - digit > 4 && !isspace((unsigned char) digit[4]) ? 0 : status;
}

/*
 * A status line begins a block of headers.  The first status that is not
 * interim is the one that counts.
 */
static void
begin_head(WfReceived *received, const char *line, size_t length)
{
	int			status = status_of(line, length);

	received->head_length = 0;
	received->nheaders = 0;
	received->in_head = true;
	if (status >= 200)
		received->status = status;
}

static bool
begins_with(const char *from, const char *to, const char *word)
{
	size_t		length = strlen(word);

	return to - from >= length && pg_strncasecmp(from, word, length) == 0;
}

static bool
is_event_stream(const WfReceived *received)
{
	const char *end = received->head + received->head_length;
	const char *newline;

	for (const char *line = received->head; line < end; line = newline + 1)
	{
		newline = memchr(line, '\n', end - line);
		if (newline == NULL)
			return false;
		if (!begins_with(line, newline, "content-type:"))
			continue;
		line += strlen("content-type:");
		while (line < newline && *line == ' ')
			line++;
		return begins_with(line, newline, "text/event-stream");
	}

	return false;
}

/*
 * From here on silence counts, but not in a stream of events, where it is
 * ordinary.
 */
static void
end_head(WfReceived *received)
{
	received->in_head = false;
	if (received->status == 0 || received->stall_seconds == 0 || is_event_stream(received))
		return;
	curl_easy_setopt(received->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(received->easy, CURLOPT_LOW_SPEED_TIME, received->stall_seconds);
}

/*
 * CURLOPT_HEADERFUNCTION: one complete line.  A status line counts only where
 * one is due; what comes after the headers (trailers) is passed over, so that
 * it cannot change what they said.
 */
size_t
wf_received_header(char *data, size_t size, size_t count, void *data_for)
{
	WfReceived *received = data_for;
	size_t		length = size * count;

	if (!received->in_head)
	{
		if (received->status == 0 && length >= 5 && memcmp(data, "HTTP/", 5) == 0)
			begin_head(received, data, length);
		return length;
	}
	if (data[0] == '\r' || data[0] == '\n')
	{
		end_head(received);
		return length;
	}
	if (received->nheaders == MAX_HEADERS ||
		received->head_length + length > MAX_HEAD_BYTES)
	{
		received->is_over = true;
		return 0;
	}
	if (!append(&received->head, &received->head_length, &received->head_size,
				data, length))
	{
		received->is_out_of_memory = true;
		return 0;
	}
	if (memchr(data, ':', length) != NULL)
		received->nheaders++;

	return length;
}

/*
 * CURLOPT_WRITEFUNCTION: keeps what fits, and ends the transfer after that.
 */
size_t
wf_received_body(char *data, size_t size, size_t count, void *data_for)
{
	WfReceived *received = data_for;
	size_t		length = size * count;
	size_t		room = received->max_body - received->body_length;
	size_t		kept = Min(length, room);

	if (!append(&received->body, &received->body_length, &received->body_size,
				data, kept))
	{
		received->is_out_of_memory = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (kept < length)
	{
		received->is_over = true;
		return CURL_WRITEFUNC_ERROR;
	}

	return length;
}

/*
 * Copies printable ASCII; anything else could not be stored as text safely.
 */
static char *
clean_copy(const char *from, const char *to, bool to_lower)
{
	char	   *copy;

	while (from < to && isspace((unsigned char) *from))
		from++;
	while (to > from && isspace((unsigned char) to[-1]))
		to--;
	copy = pnstrdup(from, to - from);
	for (char *c = copy; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c >= 0x7f)
			*c = '?';
		else if (to_lower)
			*c = pg_ascii_tolower((unsigned char) *c);
	}

	return copy;
}

/*
 * Writes stars over every secret: what echoes a request must not bring them
 * into a table.  Short ones are left, they would be found everywhere.
 */
static void
mask_secrets(const WfHttpCall *call, char *text, size_t length)
{
	for (int i = 0; i < call->nsecrets; i++)
	{
		size_t		size = strlen(call->secrets[i]);
		char	   *found = text;

		if (size < MIN_MASKED)
			continue;
		while ((found = memmem(found, text +length - found, call->secrets[i], size)) != NULL)
		{
			memset(found, '*', size);
			found += size;
		}
	}
}

/*
 * A header that comes several times is one list, as RFC 9110 says.
 */
static void
add_header(WfHttpResult *result, char *name, char *value)
{
	for (int i = 0; i < result->nheaders; i++)
	{
		if (strcmp(result->headers[i].name, name) != 0)
			continue;
		result->headers[i].value = psprintf("%s, %s", result->headers[i].value, value);
		return;
	}
	result->headers[result->nheaders].name = name;
	result->headers[result->nheaders].value = value;
	result->nheaders++;
}

static void
copy_received_headers(WfHttpResult *result, const WfHttpCall *call)
{
	const WfReceived *received = &call->received;
	const char *line = received->head;
	const char *end = line + received->head_length;

	result->headers = palloc0(sizeof(WfHttpHeader) * (received->nheaders + 1));
	while (line < end)
	{
		const char *newline = memchr(line, '\n', end - line);
		const char *stop = newline == NULL ? end : newline;
		const char *colon = memchr(line, ':', stop - line);

		if (colon != NULL)
		{
			char	   *value = clean_copy(colon + 1, stop, false);

			mask_secrets(call, value, strlen(value));
			add_header(result, clean_copy(line, colon, true), value);
		}
		line = stop + 1;
	}
}

static const char *
header_value(const WfHttpResult *result, const char *name)
{
	for (int i = 0; i < result->nheaders; i++)
		if (strcmp(result->headers[i].name, name) == 0)
			return result->headers[i].value;

	return NULL;
}

/*
 * Reads a whole number of at most 15 digits; -1 when it is not one.
 */
static int64
parse_count(const char *text)
{
	size_t		ndigits = text == NULL ? 0 : strspn(text, "0123456789");

	if (ndigits == 0 || ndigits > 15 || text[ndigits] != '\0')
		return -1;

	return strtoll(text, NULL, 10);
}

/*
 * Returns how long the other side asks us to wait, from 0 to one day; -1 when
 * it says nothing that we understand.
 */
static int64
retry_after(const WfHttpResult *result)
{
	const char *text = header_value(result, "retry-after");
	int64		ms = parse_count(header_value(result, "retry-after-ms"));
	time_t		date;

	if (ms < 0 && parse_count(text) >= 0)
		ms = parse_count(text) * 1000;
	else if (ms < 0 && text !=NULL)
	{
		date = curl_getdate(text, NULL);
		if (date != (time_t) -1)
			ms = Max(0, (int64) (date - time(NULL)) * 1000);
	}

	return Min(ms, MAX_RETRY_AFTER_MS);
}

static WfHttpPhase
phase_of(const WfHttpCall *call)
{
	if (call->guard.nsends == 0)
		return WF_HTTP_NOT_SENT;

	return call->received.status > 0 ? WF_HTTP_ANSWERED : WF_HTTP_SENT;
}

/*
 * libcurl's own text may hold addresses and times, which tell about the
 * network behind; only what it says about certificates is passed on.
 */
static char *
describe(const WfHttpCall *call, const WfHttpResult *result)
{
	if (call->problem[0] != '\0')
		return pstrdup(call->problem);
	if (result->refused_by_guard)
		return pstrdup("the address of the endpoint is in a private or special range");
	if (call->guard.resend_refused)
		return pstrdup("the connection ended after the request was sent; "
					   "a second send was refused");
	if (result->body_truncated)
		return pstrdup("the response is larger than is allowed");
	if (call->code == CURLE_OK)
		return NULL;
	if (call->code == CURLE_PEER_FAILED_VERIFICATION && call->error[0] != '\0')
		return clean_copy(call->error, call->error + strlen(call->error), false);

	return pstrdup(curl_easy_strerror(call->code));
}

/*
 * Returns what a finished call came to, in the current memory context.
 */
WfHttpResult *
wf_call_result(const WfHttpCall *call)
{
	const WfReceived *received = &call->received;
	const WfGuard *guard = &call->guard;
	WfHttpResult *result = palloc0(sizeof(WfHttpResult));

	result->id = call->id;
	result->phase = phase_of(call);
	result->curl_code = received->is_out_of_memory ? CURLE_OUT_OF_MEMORY : call->code;
	result->refused_by_guard = call->scheme_refused ||
		(guard->refused_one && !guard->passed_one && guard->nsends == 0);
	if (result->refused_by_guard && guard->refused_ranges[0] != '\0')
		result->refused_ranges = pstrdup(guard->refused_ranges);
	result->body_truncated = received->is_over;
	result->status = received->status;
	copy_received_headers(result, call);
	result->body = palloc(received->body_length + 1);
	if (received->body_length > 0)
		memcpy(result->body, received->body, received->body_length);
	result->body[received->body_length] = '\0';
	result->body_length = received->body_length;
	mask_secrets(call, result->body, result->body_length);
	result->retry_after_ms = retry_after(result);
	result->total_ms = call->total_ms;
	result->error = describe(call, result);

	return result;
}
