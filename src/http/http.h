/*
 * http.h
 *	  The outbound HTTP client: libcurl's multi interface on one descriptor.
 *
 * Knows no tables and no transactions.  One attempt is at most one wire send;
 * redirects are never followed.  No callback raises an error; results are
 * read with wf_http_next_result() after wf_http_pump().
 */
#ifndef WF_HTTP_HTTP_H
#define WF_HTTP_HTTP_H

#include "nodes/pg_list.h"

typedef struct WfHttpHeader
{
	const char *name;
	const char *value;
} WfHttpHeader;

typedef enum WfHttpVersion
{
	WF_HTTP_ANY,				/* as the other side chooses in TLS */
	WF_HTTP_1_1,
	WF_HTTP_2,					/* also without TLS; calls wait to share a
								 * connection */
} WfHttpVersion;

typedef struct WfHttpRequest
{
	int64		id;				/* the caller's, given back with the result */
	const char *method;
	const char *url;
	int			nheaders;
	WfHttpHeader *headers;
	const char *body;			/* NULL for none */
	size_t		body_length;
	int			timeout_ms;
	int			connect_timeout_ms;
	size_t		max_response;	/* bytes, counted after decompression */
	bool		allow_http;
	bool		fresh_connection;	/* for targets without deduplication */
	List	   *allow_private;	/* of char *: CIDR ranges that are allowed */
	const char *ca_file;		/* or NULL, as all that follow */
	const char *cert_file;		/* the client's certificate */
	const char *key_file;
	const char *client_key;		/* PEM, instead of key_file; a secret */
	const char *pinned_key;
	const char *proxy;			/* then its address is judged, not the
								 * target's */
	List	   *secrets;		/* of char *: masked where the answer has them */
	int			stall_seconds;	/* 0: none; see docs/reference/http.md */
	WfHttpVersion http_version;
} WfHttpRequest;

/* How far an attempt came: what is known about the other side. */
typedef enum WfHttpPhase
{
	WF_HTTP_NOT_SENT,			/* no byte of the request left */
	WF_HTTP_SENT,				/* it may have, and no status came back */
	WF_HTTP_ANSWERED,			/* a status line was received */
} WfHttpPhase;

typedef struct WfHttpResult
{
	int64		id;
	WfHttpPhase phase;
	int			curl_code;		/* 0: the exchange ended well */
	bool		refused_by_guard;	/* address policy or scheme */
	char	   *refused_ranges; /* as allow_private would list them; NULL when
								 * it was not an address */
	bool		body_truncated; /* over max_response, or too many headers */
	int			status;			/* 0 when none */
	int			nheaders;
	WfHttpHeader *headers;		/* names in lower case and once each;
								 * printable ASCII only */
	char	   *body;			/* palloc'd, NUL-terminated beyond its length */
	size_t		body_length;
	int64		retry_after_ms; /* -1: not said */
	double		total_ms;
	char	   *error;			/* for people; no address, no secret; NULL
								 * when none */
} WfHttpResult;

typedef struct WfHttpClient WfHttpClient;

/* One client a process; freed by wf_http_client_close() or at exit. */
extern WfHttpClient *wf_http_client_open(int max_in_flight);
extern void wf_http_client_close(WfHttpClient *client);

/* The descriptor to put into a WaitEventSet (readable: call pump). */
extern int	wf_http_client_fd(const WfHttpClient *client);

/* How many calls are under way. */
extern int	wf_http_in_flight(const WfHttpClient *client);

/*
 * Starts a call.  Copies what it needs.  A request that is wrong in itself
 * (header injection, forbidden header, bad URL, refused scheme) is not sent;
 * its result is queued at once with phase WF_HTTP_NOT_SENT.
 */
extern void wf_http_start(WfHttpClient *client, const WfHttpRequest *request);

/* Moves all calls on; call when the descriptor is readable or time is up. */
extern void wf_http_pump(WfHttpClient *client);

/* How long to wait at most before the next pump; -1: for the descriptor only. */
extern long wf_http_timeout_ms(WfHttpClient *client);

/*
 * Whether a call may go to a numeric address, given the ranges (a List of
 * char *) that are exempt; false when it is none.
 */
extern bool wf_http_address_is_allowed(const char *address, List *allow_private);

/* The next finished call, in the current memory context; NULL when none. */
extern WfHttpResult *wf_http_next_result(WfHttpClient *client);

/*
 * For who is about to close the client: the result of a call of which nothing
 * has been sent yet, and now never will be; NULL when there is none left.
 */
extern WfHttpResult *wf_http_give_up_unsent(WfHttpClient *client);

/* What is to be answered instead of the other side. */
typedef struct WfHttpScript
{
	const char *failure;		/* of wf_http_knows_failure(), or NULL */
	int			status;
	int			nheaders;
	WfHttpHeader *headers;
	const char *body;			/* NULL for none */
	size_t		body_length;
} WfHttpScript;

extern bool wf_http_knows_failure(const char *name);

/*
 * The result of a call that is answered by a script.  The request is checked and
 * the answer read as if it had been sent and received; nothing is sent.
 */
extern WfHttpResult *wf_http_play(const WfHttpRequest *request, const WfHttpScript *script);

#endif							/* WF_HTTP_HTTP_H */
