/*
 * client.c
 *	  The outbound HTTP client: many calls at once, in one thread.
 *
 * libcurl says which sockets it waits for; they are kept in an epoll
 * descriptor of our own, which is readable when any of them is ready and so
 * fits into a WaitEventSet as one static event.
 *
 * libcurl starts threads (name resolution), and these must not run the
 * server's signal handlers: all signals are masked around every call into it.
 * Between mask() and unmask() nothing may raise an error, or the signals would
 * stay masked.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "http/call.h"
#include "storage/ipc.h"

#define MAX_EVENTS 64

/* What is lost at once when a connection of HTTP/2 ends. */
#define MAX_STREAMS 100L

/*
 * From 8.20 on libcurl looks names up in a pool of threads, 20 unless told
 * otherwise, and waits for them when it closes.  A look-up that hangs keeps its
 * thread even when its call has been given up.  The numbers of the options are
 * part of libcurl's ABI; an older one knows neither and needs neither.
 */
#define MULTI_RESOLVE_THREADS_MAX ((CURLMoption) 20)
#define MULTI_QUICK_EXIT ((CURLMoption) 21)
#define THREADS_FOR_A_CALL 8L

/* A look-up has two and a socket, and so have those of calls given up. */
#define DESCRIPTORS_FOR_A_CALL 16
#define OTHER_DESCRIPTORS 1024

struct WfHttpClient
{
	CURLM	   *multi;
	int			epoll;
	int			nrunning;
	long		due_ms;			/* of the monotonic clock; -1: no timer */
	dlist_head	running;		/* of WfHttpCall */
	dlist_head	finished;
};

static bool curl_is_ready = false;
static WfHttpClient *open_client = NULL;

static void
mask(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
unmask(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static long
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/*
 * CURLMOPT_SOCKETFUNCTION: keeps the epoll descriptor as libcurl wants it.
 */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
	WfHttpClient *client = data;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(client->epoll, EPOLL_CTL_MOD, fd, &event) == 0 ||
		epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;

	return -1;
}

/*
 * CURLMOPT_TIMERFUNCTION: notes when libcurl wants to be called again.
 */
static int
note_timer(CURLM *multi, long timeout_ms, void *data)
{
	WfHttpClient *client = data;

	client->due_ms = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;

	return 0;
}

/*
 * Once a process, and after it was forked: threads do not survive a fork.
 */
void
wf_http_require_curl(void)
{
	sigset_t	saved;
	CURLcode	code;
	bool		resolves_in_background;

	if (curl_is_ready)
		return;
	mask(&saved);
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	resolves_in_background = code == CURLE_OK &&
		(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0;
	unmask(&saved);

	if (code != CURLE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not initialise libcurl: %s", curl_easy_strerror(code)),
				 errdetail("No outside call can be made by this process."),
				 errhint("Check the installation of libcurl.")));
	if (!resolves_in_background)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("libcurl resolves names in the foreground"),
				 errdetail("One slow name server would stop all calls of this process."),
				 errhint("Install a libcurl with the threaded resolver or c-ares.")));
	curl_is_ready = true;
}

static void
close_at_exit(int code, Datum arg)
{
	if (open_client != NULL)
		wf_http_client_close(open_client);
}

static WfHttpClient *
allocate_client(void)
{
	WfHttpClient *client = calloc(1, sizeof(WfHttpClient));
	sigset_t	saved;

	if (client == NULL)
		return NULL;
	dlist_init(&client->running);
	dlist_init(&client->finished);
	client->due_ms = -1;
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	mask(&saved);
	client->multi = curl_multi_init();
	unmask(&saved);
	if (client->epoll >= 0 && client->multi != NULL)
		return client;

	if (client->epoll >= 0)
		close(client->epoll);
	if (client->multi != NULL)
		curl_multi_cleanup(client->multi);
	free(client);

	return NULL;
}

/*
 * The server's own files must not run short of descriptors, nor healthy
 * endpoints, because of calls that hang: we ask for as many as may be needed.
 */
static void
raise_descriptor_limit(int max_in_flight)
{
	struct rlimit limit;
	rlim_t		wanted = OTHER_DESCRIPTORS + (rlim_t) DESCRIPTORS_FOR_A_CALL * max_in_flight;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = Min(wanted, limit.rlim_max);
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * Opens the client of this process.  max_in_flight is how many connections are
 * kept for use again; how many calls run at once is the caller's to limit.
 */
WfHttpClient *
wf_http_client_open(int max_in_flight)
{
	static bool exit_hook_is_set = false;
	WfHttpClient *client;

	if (open_client != NULL)
		elog(ERROR, "this process has an HTTP client already");
	wf_http_require_curl();
	wf_guard_learn_own_addresses();
	raise_descriptor_limit(max_in_flight);

	client = allocate_client();
	if (client == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to make a libcurl handle or an epoll descriptor.")));
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, note_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long) Max(max_in_flight, 16));
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	curl_multi_setopt(client->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, MAX_STREAMS);
	curl_multi_setopt(client->multi, MULTI_QUICK_EXIT, 1L);
	curl_multi_setopt(client->multi, MULTI_RESOLVE_THREADS_MAX,
					  THREADS_FOR_A_CALL * Max(max_in_flight, 16));

	open_client = client;
	if (!exit_hook_is_set)
	{
		before_shmem_exit(close_at_exit, (Datum) 0);
		exit_hook_is_set = true;
	}

	return client;
}

/*
 * Drops all calls, finished or not.
 */
void
wf_http_client_close(WfHttpClient *client)
{
	dlist_mutable_iter each;
	sigset_t	saved;

	mask(&saved);
	dlist_foreach_modify(each, &client->running)
	{
		WfHttpCall *call = dlist_container(WfHttpCall, node, each.cur);

		(void) curl_multi_remove_handle(client->multi, call->easy);
		wf_call_free(call);
	}
	dlist_foreach_modify(each, &client->finished)
		wf_call_free(dlist_container(WfHttpCall, node, each.cur));
	(void) curl_multi_cleanup(client->multi);
	unmask(&saved);

	close(client->epoll);
	free(client);
	open_client = NULL;
}

int
wf_http_client_fd(const WfHttpClient *client)
{
	return client->epoll;
}

int
wf_http_in_flight(const WfHttpClient *client)
{
	return client->nrunning;
}

/*
 * Starts a call, or queues at once the result of one that is wrong in itself.
 */
void
wf_http_start(WfHttpClient *client, const WfHttpRequest *request)
{
	WfHttpCall *call = calloc(1, sizeof(WfHttpCall));
	CURLMcode	code;
	sigset_t	saved;

	if (call == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to start an HTTP call.")));

	mask(&saved);
	if (!wf_call_prepare(call, request))
		dlist_push_tail(&client->finished, &call->node);
	else if ((code = curl_multi_add_handle(client->multi, call->easy)) != CURLM_OK)
	{
		call->code = CURLE_FAILED_INIT;
		strlcpy(call->problem, curl_multi_strerror(code), sizeof(call->problem));
		dlist_push_tail(&client->finished, &call->node);
	}
	else
	{
		dlist_push_tail(&client->running, &call->node);
		client->nrunning++;
	}
	unmask(&saved);
}

static void
finish_call(WfHttpClient *client, WfHttpCall *call, CURLcode code)
{
	double		seconds = 0;

	(void) curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME, &seconds);
	call->total_ms = seconds * 1000;
	call->code = code;
	(void) curl_multi_remove_handle(client->multi, call->easy);
	dlist_delete(&call->node);
	client->nrunning--;
	if (call->is_given_up)
		wf_call_free(call);
	else
		dlist_push_tail(&client->finished, &call->node);
}

static void
collect_finished(WfHttpClient *client)
{
	CURLMsg    *message;
	int			nqueued;

	while ((message = curl_multi_info_read(client->multi, &nqueued)) != NULL)
	{
		WfHttpCall *call = NULL;
		CURL	   *easy = message->easy_handle;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &call);
		finish_call(client, call, code);
	}
}

static int
curl_events(uint32 events)
{
	int			result = 0;

	if (events & (EPOLLIN | EPOLLHUP))
		result |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		result |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		result |= CURL_CSELECT_ERR;

	return result;
}

static void
serve_sockets(WfHttpClient *client)
{
	struct epoll_event events[MAX_EVENTS];
	int			nevents = epoll_wait(client->epoll, events, MAX_EVENTS, 0);
	int			nstill;

	for (int i = 0; i < nevents; i++)
		(void) curl_multi_socket_action(client->multi, events[i].data.fd,
										curl_events(events[i].events), &nstill);
}

static void
serve_timer(WfHttpClient *client)
{
	int			nstill;

	if (client->due_ms < 0 || client->due_ms > monotonic_ms())
		return;
	client->due_ms = -1;
	(void) curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &nstill);
}

/*
 * Moves all calls on, without waiting.
 */
void
wf_http_pump(WfHttpClient *client)
{
	sigset_t	saved;

	mask(&saved);
	serve_sockets(client);
	serve_timer(client);
	collect_finished(client);
	unmask(&saved);
}

/*
 * Returns 0 when results are ready to be taken.
 */
long
wf_http_timeout_ms(WfHttpClient *client)
{
	if (!dlist_is_empty(&client->finished))
		return 0;
	if (client->due_ms < 0)
		return -1;

	return Max(0, client->due_ms - monotonic_ms());
}

/*
 * Returns the next finished call, in the current memory context.  It is
 * forgotten only when the copy is complete, so that an error loses nothing.
 */
WfHttpResult *
wf_http_next_result(WfHttpClient *client)
{
	WfHttpCall *call;
	WfHttpResult *result;
	sigset_t	saved;

	if (dlist_is_empty(&client->finished))
		return NULL;
	call = dlist_head_element(WfHttpCall, node, &client->finished);
	result = wf_call_result(call);
	dlist_delete(&call->node);
	mask(&saved);
	wf_call_free(call);
	unmask(&saved);

	return result;
}

/*
 * The call stays with libcurl, which may not let go of it at once (a look-up of
 * a name); the guard keeps it from being sent.
 */
WfHttpResult *
wf_http_give_up_unsent(WfHttpClient *client)
{
	dlist_iter	each;

	dlist_foreach(each, &client->running)
	{
		WfHttpCall *call = dlist_container(WfHttpCall, node, each.cur);
		WfHttpResult *result;

		if (call->guard.nsends > 0)
			continue;
		call->code = CURLE_ABORTED_BY_CALLBACK;
		strlcpy(call->problem, "the sender was asked to end", sizeof(call->problem));
		result = wf_call_result(call);
		call->guard.nsends = 1;
		call->is_given_up = true;

		return result;
	}

	return NULL;
}
