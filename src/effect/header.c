/*
 * header.c
 *	  Names of headers: whose they are.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/ledger.h"
#include "effect/option.h"

/* Written by the client itself, or changing what a message means. */
static const char *const protocol_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
	"trailer", "upgrade", "expect", "http2-settings",
};

/* Owned by user mappings and by the ledger, whatever the endpoint says. */
static const char *const reserved_headers[] = {
	"authorization", "cookie", "webhook-id", "webhook-timestamp", "webhook-signature",
};

/* Those that say something about the request or the answer. */
static const char *const spoken_headers[] = {
	"content-type", "content-encoding", "accept", "accept-encoding", "user-agent", "range",
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

void
wf_check_header_name(const char *name, const char *value)
{
	if (*value == '\0' || strspn(value, "abcdefghijklmnopqrstuvwxyz"
								 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(value))
		wf_option_refuse(name, value, "the name of a header");
}

/*
 * In a header that has another meaning, or another writer, a key would not
 * arrive as one, and a second copy would be a second action.
 */
void
wf_check_key_header(const char *name, const char *value)
{
	wf_check_header_name(name, value);
	if (wf_header_is_protocol(value) || wf_header_is_reserved(value) ||
		pg_strncasecmp(value, "if-", 3) == 0 ||
		is_one_of(value, spoken_headers, lengthof(spoken_headers)))
		wf_option_refuse(name, value,
						 "a header that has no other meaning, such as Idempotency-Key");
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
