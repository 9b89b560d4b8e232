/*
 * hanging_names.c
 *	  Name look-ups that never end, for LD_PRELOAD.
 *
 * Names below hang.test are never resolved, those below here.test at once, to
 * 127.0.0.1; all others as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*LookUp) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int
is_below(const char *name, const char *domain)
{
	size_t		length = strlen(domain);

	return name != NULL && strlen(name) > length && strcmp(name + strlen(name) - length, domain) == 0;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	LookUp		look_up = (LookUp) dlsym(RTLD_NEXT, "getaddrinfo");

	while (is_below(name, ".hang.test"))
		pause();

	return look_up(is_below(name, ".here.test") ? "127.0.0.1" : name, service, hints, result);
}
