/*
 * method.c
 *	  Methods of HTTP that may be sent.
 *
 * RFC 9110 leaves the list open: registered methods (PROPFIND,
 * VERSION-CONTROL) and those of one receiver (PURGE) are sent as they are
 * written.  Methods are told apart by case, and all of them are capitals.
 */
#include "postgres.h"

#include "base/method.h"
#include "base/suggest.h"

#define MAX_METHOD_LENGTH	20

static const char *const usual[] = {
	"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
};

/* What is no request for a resource: a tunnel, an echo, the preface of HTTP/2. */
static const char *const never[] = {"CONNECT", "TRACE", "PRI"};

static bool
is_in(const char *method, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(method, list[i]) == 0)
			return true;

	return false;
}

const char *
wf_method_fault(const char *method)
{
	if (method == NULL || strlen(method) > MAX_METHOD_LENGTH || *method < 'A' || *method > 'Z' ||
		strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(method))
		return "A method is a word of 1 to 20 capital letters and hyphens.";
	if (is_in(method, never, lengthof(never)))
		return "CONNECT, TRACE and PRI ask for nothing of a receiver, and are never sent.";

	return NULL;
}

char *
wf_method_meant(const char *method)
{
	if (is_in(method, usual, lengthof(usual)))
		return NULL;

	return wf_did_you_mean(method, usual, lengthof(usual));
}
