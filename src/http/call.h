/*
 * call.h
 *	  One call under way, as the files of this room share it.
 *
 * Everything in here is malloc'ed: libcurl's callbacks write to it, and no
 * callback may allocate in a memory context or raise an error.
 */
#ifndef WF_HTTP_CALL_H
#define WF_HTTP_CALL_H

#include <curl/curl.h>
#include <netinet/in.h>

#include "http/http.h"
#include "lib/ilist.h"

/* A range of addresses; IPv4 is held as ::ffff:a.b.c.d. */
typedef struct WfAddressRange
{
	unsigned char address[16];
	int			bits;
} WfAddressRange;

typedef struct WfGuard
{
	int			nallowed;
	WfAddressRange *allowed;	/* exempt from the block list */
	bool		passed_one;		/* some address was allowed */
	bool		refused_one;
	bool		resend_refused; /* libcurl wanted to send a second time */
	int			nsends;			/* 0 or 1 */
	char		refused_ranges[4 * (INET6_ADDRSTRLEN + 5)];
} WfGuard;

/* What has come back so far, within bounds. */
typedef struct WfReceived
{
	size_t		max_body;
	char	   *body;
	size_t		body_length;
	size_t		body_size;		/* allocated */
	char	   *head;			/* header lines, each ended by a newline */
	size_t		head_length;
	size_t		head_size;		/* allocated */
	int			nheaders;
	bool		in_head;		/* between a status line and an empty line */
	int			status;			/* final one; 0 while none */
	long		stall_seconds;
	CURL	   *easy;
	bool		is_over;		/* a limit was passed */
	bool		is_out_of_memory;
} WfReceived;

typedef struct WfHttpCall
{
	dlist_node	node;			/* in the client's running or finished list */
	int64		id;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *body;
	int			nsecrets;
	char	  **secrets;		/* what the answer must not show */
	WfGuard		guard;
	WfReceived	received;
	CURLcode	code;
	bool		scheme_refused;
	bool		is_given_up;	/* its result was taken before it ended */
	double		total_ms;
	char		problem[256];	/* why it was not started; empty otherwise */
	char		error[CURL_ERROR_SIZE];
} WfHttpCall;

/* client.c */
extern void wf_http_require_curl(void);

/* request.c */
extern bool wf_call_prepare(WfHttpCall *call, const WfHttpRequest *request);
extern void wf_call_free(WfHttpCall *call);

/* guard.c */
extern void wf_guard_learn_own_addresses(void);
extern bool wf_guard_allow(WfGuard *guard, List *ranges);
extern curl_socket_t wf_guard_open_socket(void *guard, curlsocktype purpose,
										  struct curl_sockaddr *address);
extern int	wf_guard_before_send(void *guard, char *peer_address,
								 char *local_address, int peer_port,
								 int local_port);

/* response.c */
extern size_t wf_received_header(char *data, size_t size, size_t count, void *received);
extern size_t wf_received_body(char *data, size_t size, size_t count, void *received);
extern WfHttpResult *wf_call_result(const WfHttpCall *call);

#endif							/* WF_HTTP_CALL_H */
