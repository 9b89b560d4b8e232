/*
 * client.c
 *	  The outbound HTTP client.
 */
#include "postgres.h"

#include "http/http.h"

WfHttpClient *
wf_http_client_open(int max_in_flight)
{
	elog(ERROR, "wf_http_client_open is not built yet");
	return NULL;
}

void
wf_http_client_close(WfHttpClient *client)
{
	elog(ERROR, "wf_http_client_close is not built yet");
}

int
wf_http_client_fd(const WfHttpClient *client)
{
	elog(ERROR, "wf_http_client_fd is not built yet");
	return -1;
}

int
wf_http_in_flight(const WfHttpClient *client)
{
	elog(ERROR, "wf_http_in_flight is not built yet");
	return 0;
}

void
wf_http_start(WfHttpClient *client, const WfHttpRequest *request)
{
	elog(ERROR, "wf_http_start is not built yet");
}

void
wf_http_pump(WfHttpClient *client)
{
	elog(ERROR, "wf_http_pump is not built yet");
}

long
wf_http_timeout_ms(WfHttpClient *client)
{
	elog(ERROR, "wf_http_timeout_ms is not built yet");
	return -1;
}

WfHttpResult *
wf_http_next_result(WfHttpClient *client)
{
	elog(ERROR, "wf_http_next_result is not built yet");
	return NULL;
}
