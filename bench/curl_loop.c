/*
 * curl_loop.c
 *	  The bare limit of outside calls: libcurl, epoll, and nothing else.
 *
 *	  curl_loop URL CALLS IN_FLIGHT BODY_BYTES
 *
 * Sends so many POSTs, so many at once, with connections and handles used
 * again, and prints: calls that were answered with 200, seconds, CPU seconds.
 * Nothing is stored, so this is what an engine could reach that costs nothing.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_EVENTS 64

static CURLM *multi;
static int	epoll_fd;
static long due_ms = -1;
static long nstarted = 0;
static long nended = 0;
static long nanswered = 0;

static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec + now.tv_nsec / 1e9;
}

static double
cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);

	return usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 +
		usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy, (void) data, (void) socket_data;
	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;

	return -1;
}

static int
note_timer(CURLM *of, long timeout_ms, void *data)
{
	(void) of, (void) data;
	due_ms = timeout_ms;

	return 0;
}

static size_t
drop_body(char *bytes, size_t size, size_t n, void *data)
{
	(void) bytes, (void) data;

	return size * n;
}

static CURL *
make_handle(const char *url, const char *body, struct curl_slist *headers)
{
	CURL	   *easy = curl_easy_init();

	if (easy == NULL)
		exit(2);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);

	return easy;
}

static void
start(CURL *easy)
{
	nstarted++;
	if (curl_multi_add_handle(multi, easy) != CURLM_OK)
		exit(2);
}

/*
 * Counts what has ended, and lets its handle make the next call.
 */
static void
go_on(long ncalls)
{
	CURLMsg    *message;
	int			nqueued;

	while ((message = curl_multi_info_read(multi, &nqueued)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		long		status = 0;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (message->data.result == CURLE_OK)
			(void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		nanswered += status == 200;
		nended++;
		(void) curl_multi_remove_handle(multi, easy);
		if (nstarted < ncalls)
			start(easy);
		else
			curl_easy_cleanup(easy);
	}
}

static void
turn(void)
{
	struct epoll_event events[MAX_EVENTS];
	int			nstill;
	int			n = epoll_wait(epoll_fd, events, MAX_EVENTS, due_ms < 0 ? 1000 : (int) due_ms);

	for (int i = 0; i < n; i++)
		(void) curl_multi_socket_action(multi, events[i].data.fd,
										((events[i].events & (EPOLLIN | EPOLLHUP)) ? CURL_CSELECT_IN : 0) |
										((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0),
										&nstill);
	if (n <= 0 || due_ms == 0)
	{
		due_ms = -1;
		(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &nstill);
	}
}

static char *
make_body(int length)
{
	char	   *body = malloc(length + 1);

	if (body == NULL || length < 10)
		exit(2);
	memset(body, 'x', length);
	memcpy(body, "{\"text\": \"", 10);
	memcpy(body + length - 2, "\"}", 3);

	return body;
}

int
main(int argc, char **argv)
{
	long		ncalls = argc == 5 ? atol(argv[2]) : 0;
	int			in_flight = argc == 5 ? atoi(argv[3]) : 0;
	struct curl_slist *headers;
	char	   *body;
	double		started_at;

	if (ncalls <= 0 || in_flight <= 0)
	{
		fprintf(stderr, "usage: curl_loop URL CALLS IN_FLIGHT BODY_BYTES\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	body = make_body(atoi(argv[4]));
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	multi = curl_multi_init();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, note_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) in_flight);

	started_at = now_s();
	for (int i = 0; i < in_flight && nstarted < ncalls; i++)
		start(make_handle(argv[1], body, headers));
	while (nended < ncalls)
	{
		turn();
		go_on(ncalls);
	}
	printf("%ld %.3f %.3f\n", nanswered, now_s() - started_at, cpu_s());

	return nanswered == ncalls ? 0 : 1;
}
