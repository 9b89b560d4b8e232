/*
 * header.c
 *	  Names of headers: whose they are.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/ledger.h"

/* Written by the client itself, or changing what a message means. */
static const char *const protocol_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
	"trailer", "upgrade", "expect", "http2-settings",
};

/* Owned by user mappings and by the ledger, whatever the endpoint says. */
static const char *const reserved_headers[] = {
	"authorization", "cookie", "webhook-id", "webhook-timestamp", "webhook-signature",
};

static bool
is_one_of(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;

	return false;
}

bool
wf_header_is_protocol(const char *name)
{
	return is_one_of(name, protocol_headers, lengthof(protocol_headers)) ||
		pg_strncasecmp(name, "proxy-", 6) == 0;
}

bool
wf_header_is_reserved(const char *name)
{
	return is_one_of(name, reserved_headers, lengthof(reserved_headers));
}

/*
 * Returns the value of a header, whatever the case of its name; NULL when
 * there is none, or it is no string.
 */
char *
wf_header_value(Jsonb *headers, const char *name)
{
	int			count = 0;
	WfMember   *members = headers == NULL ? NULL :
	wf_jsonb_members(wf_jsonb_root(headers), &count);

	for (int i = 0; i < count; i++)
		if (pg_strcasecmp(members[i].key, name) == 0 && members[i].value.type == jbvString)
			return wf_jsonb_value_text(&members[i].value);

	return NULL;
}
