/*
 * options.c
 *	  Values of endpoint options.
 *
 * Each reader raises what is wrong with a value; the validator and the code
 * that uses an endpoint read through the same functions.
 */
#include "postgres.h"

#include "base/clock.h"
#include "effect/ledger.h"
#include "effect/option.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#define MAX_SIZE		(INT64CONST(64) * 1024 * 1024)

/*
 * Raises that a value is not what the option takes.
 */
void
wf_option_refuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", name),
			 errdetail("\"%s\" is not %s.", value, expected),
			 errhint("ALTER SERVER ... OPTIONS (SET %s '...') changes an option.", name)));
}

/*
 * Reads a length of time; months count as 30 days.
 */
int64
wf_option_interval_us(const char *name, const char *value)
{
	Interval   *interval;
	int64		us;

	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
													 CStringGetDatum(value),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	if (!wf_interval_fits(interval, &us) || us < 1000)
		wf_option_refuse(name, value, "a length of time of at least a millisecond");

	return us;
}

/*
 * Reads a size such as 64kB.
 */
int64
wf_option_size(const char *name, const char *value)
{
	int64		size = DatumGetInt64(DirectFunctionCall1(pg_size_bytes,
														 CStringGetTextDatum(value)));

	if (size < 1 || size > MAX_SIZE)
		wf_option_refuse(name, value, "a size from 1 byte to 64 MB");

	return size;
}

bool
wf_option_bool(const char *name, const char *value)
{
	bool		result = false;

	if (!parse_bool(value, &result))
		wf_option_refuse(name, value, "true or false");

	return result;
}

int
wf_option_count(const char *name, const char *value)
{
	int			count = pg_strtoint32(value);

	if (count < 1 || count > 10000)
		wf_option_refuse(name, value, "a number from 1 to 10000");

	return count;
}

WfDedup
wf_option_dedup(const char *value)
{
	if (strcmp(value, "key") == 0)
		return WF_DEDUP_KEY;
	if (strcmp(value, "natural") == 0)
		return WF_DEDUP_NATURAL;
	if (strcmp(value, "pure") == 0)
		return WF_DEDUP_PURE;
	if (strcmp(value, "none") != 0)
		wf_option_refuse("dedup", value, "one of key, natural, pure, none");

	return WF_DEDUP_NONE;
}

WfOn5xx
wf_option_on_5xx(const char *value)
{
	if (strcmp(value, "reexecuted") == 0)
		return WF_5XX_REEXECUTED;
	if (strcmp(value, "replayed") == 0)
		return WF_5XX_REPLAYED;
	if (strcmp(value, "unknown") != 0)
		wf_option_refuse("on_5xx", value, "one of unknown, reexecuted, replayed");

	return WF_5XX_UNKNOWN;
}

WfOnUnknown
wf_option_on_unknown(const char *value)
{
	if (strcmp(value, "resend") == 0)
		return WF_UNKNOWN_RESEND;
	if (strcmp(value, "probe") == 0)
		return WF_UNKNOWN_PROBE;
	if (strcmp(value, "hold") != 0)
		wf_option_refuse("on_unknown", value, "one of resend, probe, hold");

	return WF_UNKNOWN_HOLD;
}

/*
 * Raises what is wrong with a jsonpath.
 */
void
wf_option_jsonpath(const char *name, const char *value)
{
	(void) DirectFunctionCall1(jsonpath_in, CStringGetDatum(value));
}

/*
 * Returns a WfHttpVersion, whose numbers the http room knows.
 */
int
wf_option_http_version(const char *value)
{
	if (strcmp(value, "1.1") == 0)
		return 1;
	if (strcmp(value, "2") != 0)
		wf_option_refuse("http_version", value, "one of 1.1, 2");

	return 2;
}

/*
 * Reads a number of failures in a row; 0 for "off".
 */
int
wf_option_failures(const char *name, const char *value)
{
	if (strcmp(value, "off") == 0)
		return 0;
	if (*value == '\0' || strlen(value) > 5 || strspn(value, "0123456789") != strlen(value) ||
		atoi(value) < 1 || atoi(value) > 10000)
		wf_option_refuse(name, value, "a number from 1 to 10000, or off");

	return atoi(value);
}

/*
 * Reads a share such as 50%; 0 for "off".
 */
int
wf_option_percent(const char *name, const char *value)
{
	size_t		ndigits = strspn(value, "0123456789");

	if (strcmp(value, "off") == 0)
		return 0;
	if (ndigits < 1 || ndigits > 3 || strcmp(value + ndigits, "%") != 0 ||
		atoi(value) < 1 || atoi(value) > 100)
		wf_option_refuse(name, value, "a share from 1% to 100%, or off");

	return atoi(value);
}

/*
 * Splits at commas; blanks around the parts do not count.
 */
List *
wf_option_list(const char *value)
{
	List	   *parts = NIL;
	char	   *rest = pstrdup(value);
	char	   *part;

	while ((part = strsep(&rest, ",")) != NULL)
	{
		part += strspn(part, " \t");
		part[strcspn(part, " \t")] = '\0';
		if (*part != '\0')
			parts = lappend(parts, part);
	}

	return parts;
}

/*
 * Reads HTTP statuses; an empty value is an empty list.
 */
List *
wf_option_statuses(const char *name, const char *value)
{
	List	   *statuses = NIL;
	ListCell   *cell;

	foreach(cell, wf_option_list(value))
	{
		int			status = pg_strtoint32(lfirst(cell));

		if (status < 300 || status > 599)
			wf_option_refuse(name, lfirst(cell), "an HTTP status from 300 to 599");
		statuses = lappend_int(statuses, status);
	}

	return statuses;
}

/*
 * Reads "50/second" or "600/5 minutes".
 */
void
wf_option_rate(const char *value, int *count, int64 *per_us)
{
	char	   *number = pstrdup(value);
	char	   *per = strchr(number, '/');

	if (per == NULL)
		wf_option_refuse("rate_limit", value, "a count and a time, as in 50/second");
	*per++ = '\0';
	*count = wf_option_count("rate_limit", number);
	if (!isdigit((unsigned char) *per))
		per = psprintf("1 %s", per);
	*per_us = wf_option_interval_us("rate_limit", per);
}

/*
 * The header that an option names: header_x_api_key is x-api-key.
 */
char *
wf_option_header_name(const char *suffix)
{
	char	   *name = pstrdup(suffix);

	for (char *c = name; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';

	return name;
}

/*
 * Whether what follows the scheme of a URL begins with a host, and a port if any.
 */
static bool
has_host(const char *rest)
{
	const char *end = rest + strcspn(rest, "/");
	const char *port = rest + strcspn(rest, ":/");

	if (*rest == '[')
	{
		port = rest + strcspn(rest, "]/");
		if (*port != ']' || port == rest + 1)
			return false;
		port++;
	}
	if (port == rest || port == end)
		return port != rest;

	return *port == ':' && end - port > 1 && end - port < 7 &&
		strspn(port + 1, "0123456789") == end - port - 1 &&
		atoi(port + 1) > 0 && atoi(port + 1) <= 65535;
}

void
wf_check_url(const char *name, const char *value)
{
	int			scheme = strncmp(value, "https://", 8) == 0 ? 8 :
	strncmp(value, "http://", 7) == 0 ? 7 : 0;

	if (scheme == 0 || strpbrk(value, " \t\r\n#?@\\") != NULL || !has_host(value + scheme))
		wf_option_refuse(name, value,
						 "a URL such as https://host/base, without user, query or fragment");
}
