/*
 * script.c
 *	  Calls that are answered by a script instead of the other side.
 *
 * The request takes the way of every other one up to the wire, and the answer
 * the way from there on: what is refused, cut off, masked or understood of it is
 * what would be of a real one.  There is no address to judge, and nothing is
 * sent.
 */
#include "postgres.h"

#include "http/call.h"

typedef struct Failure
{
	const char *name;
	WfHttpPhase phase;
	CURLcode	code;
} Failure;

static const Failure failures[] = {
	{"unresolved", WF_HTTP_NOT_SENT, CURLE_COULDNT_RESOLVE_HOST},
	{"refused", WF_HTTP_NOT_SENT, CURLE_COULDNT_CONNECT},
	{"connect_timeout", WF_HTTP_NOT_SENT, CURLE_OPERATION_TIMEDOUT},
	{"certificate", WF_HTTP_NOT_SENT, CURLE_PEER_FAILED_VERIFICATION},
	{"timeout", WF_HTTP_SENT, CURLE_OPERATION_TIMEDOUT},
	{"dropped", WF_HTTP_SENT, CURLE_GOT_NOTHING},
	{"broken_off", WF_HTTP_ANSWERED, CURLE_PARTIAL_FILE},
};

static const Failure *
find_failure(const char *name)
{
	for (int i = 0; i < lengthof(failures); i++)
		if (strcmp(failures[i].name, name) == 0)
			return &failures[i];

	return NULL;
}

bool
wf_http_knows_failure(const char *name)
{
	return find_failure(name) != NULL;
}

static bool
receive_line(WfHttpCall *call, const char *line)
{
	size_t		length = strlen(line);

	return wf_received_header((char *) line, 1, length, &call->received) == length;
}

static bool
receive(WfHttpCall *call, const WfHttpScript *script)
{
	if (!receive_line(call, psprintf("HTTP/1.1 %d\r\n", script->status)))
		return false;
	for (int i = 0; i < script->nheaders; i++)
		if (!receive_line(call, psprintf("%s: %s\r\n", script->headers[i].name,
										 script->headers[i].value)))
			return false;
	if (!receive_line(call, "\r\n"))
		return false;

	return script->body == NULL ||
		wf_received_body((char *) script->body, 1, script->body_length,
						 &call->received) == script->body_length;
}

static void
play(WfHttpCall *call, const WfHttpScript *script)
{
	const Failure *failure = script->failure == NULL ? NULL : find_failure(script->failure);

	if (script->failure != NULL && failure == NULL)
		elog(ERROR, "unknown failure of a call: \"%s\"", script->failure);
	if (failure != NULL)
		call->code = failure->code;
	if (failure != NULL && failure->phase == WF_HTTP_NOT_SENT)
		return;
	call->guard.nsends = 1;
	if ((failure == NULL || failure->phase == WF_HTTP_ANSWERED) && !receive(call, script))
		call->code = CURLE_WRITE_ERROR;
}

WfHttpResult *
wf_http_play(const WfHttpRequest *request, const WfHttpScript *script)
{
	WfHttpCall *call;
	WfHttpResult *volatile result = NULL;

	wf_http_require_curl();
	call = calloc(1, sizeof(WfHttpCall));
	if (call == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to make an HTTP call.")));
	PG_TRY();
	{
		if (wf_call_prepare(call, request))
			play(call, script);
		result = wf_call_result(call);
	}
	PG_FINALLY();
	{
		wf_call_free(call);
	}
	PG_END_TRY();

	return result;
}
