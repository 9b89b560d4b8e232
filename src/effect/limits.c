/*
 * limits.c
 *	  What an endpoint says about when it wants calls again.
 *
 * Retry-After of a 429, a 503 or a 403, and the headers that say how many calls
 * are left and when there will be more: RateLimit of the IETF draft in its old
 * and new forms, ratelimit-, x-ratelimit- and anthropic-ratelimit-.  When none
 * is left the whole endpoint pauses until then, so that its other calls do not
 * run into the same refusal.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#define LONGEST_PAUSE_US	(INT64CONST(24) * 3600 * 1000000)

/* A pause is only written when it is longer than the one on record by this. */
#define WORTH_WRITING_US	(INT64CONST(500) * 1000)

/* Numbers from here on are not seconds to wait but the time itself. */
#define FIRST_EPOCH			1000000000.0

static WfPlan pause_plan = {
	.name = "pause endpoint as it asked",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT4OID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.endpoint SET pause_until = $2::timestamptz "
	"WHERE endpoint_id = (SELECT p.endpoint_id FROM workflow.endpoint AS p "
	"WHERE p.endpoint_id = $1::int4 FOR NO KEY UPDATE SKIP LOCKED) "
	"AND (pause_until IS NULL OR pause_until < $2::timestamptz)",
};

/* Pairs of headers: how many are left, and when there are more. */
static const char *const pairs[][2] = {
	{"ratelimit-remaining", "ratelimit-reset"},
	{"x-ratelimit-remaining", "x-ratelimit-reset"},
	{"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
	{"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
};

/*
 * Seconds of a length of time such as 6m0.5s or 20ms; -1 when it is none.
 */
static double
read_duration(const char *text)
{
	double		seconds = 0;

	while (*text !='\0')
	{
		char	   *end;
		double		number = strtod(text, &end);

		if (end == text ||number < 0)
			return -1;
		if (strncmp(end, "ms", 2) == 0)
			seconds += number / 1000;
		else if (*end == 'h')
			seconds += number * 3600;
		else if (*end == 'm')
			seconds += number * 60;
		else if (*end == 's')
			seconds += number;
		else
			return -1;
		text = end + (strncmp(end, "ms", 2) == 0 ? 2 : 1);
	}

	return seconds;
}

/*
 * The time of 2027-01-31T12:00:00Z; 0 when it is none.
 */
static TimestampTz
read_time(const char *text)
{
	struct pg_tm tm = {0};
	Timestamp	at;
	int			length = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
			   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &length) != 6 || text[length] == '\0')
		return 0;
	if (text[length] == '.')
		length += 1 + strspn(text +length + 1, "0123456789");
	if (strcmp(text +length, "Z") != 0 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
		!IS_VALID_JULIAN(tm.tm_year, tm.tm_mon, tm.tm_mday) ||
		tm2timestamp(&tm, 0, NULL, &at) != 0)
		return 0;

	return at;
}

/*
 * How long to wait by the value of a reset header; -1 when it does not say.
 */
static int64
read_reset_us(const char *text, TimestampTz now)
{
	char	   *end;
	double		number = strtod(text, &end);
	TimestampTz at = read_time(text);

	if (at != 0)
		return at - now;
	if (end == text ||*end != '\0')
		number = read_duration(text);
	if (!(number >= 0 && number < FIRST_EPOCH * 10))
		return -1;
	if (number >= FIRST_EPOCH)
		return (int64) ((number - (double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
						 SECS_PER_DAY) * USECS_PER_SEC) - now;

	return (int64) (number * USECS_PER_SEC);
}

/*
 * A parameter of a structured header: r of "default";r=0;t=30, remaining of
 * limit=10, remaining=0.  -1 when it is not there.
 */
static double
parameter(const char *header, const char *name)
{
	size_t		length = strlen(name);

	for (const char *c = header; (c = strstr(c, name)) != NULL; c++)
	{
		bool		begins = c == header || strchr(";, ", c[-1]) != NULL;

		if (begins && c[length] == '=' && isdigit((unsigned char) c[length + 1]))
			return strtod(c + length + 1, NULL);
	}

	return -1;
}

/*
 * The RateLimit header: each of its policies may be used up.
 */
static int64
read_policies_us(const char *header)
{
	double		longest = -1;
	char	   *rest = pstrdup(header);
	char	   *policy;

	if (parameter(header, "remaining") == 0)
		longest = Max(parameter(header, "reset"), 0);
	while ((policy = strsep(&rest, ",")) != NULL)
		if (parameter(policy, "r") == 0)
			longest = Max(longest, parameter(policy, "t"));

	return longest < 0 ? -1 : (int64) (Min(longest, SECS_PER_DAY) * USECS_PER_SEC);
}

static int64
read_headers_us(Jsonb *headers, TimestampTz now)
{
	char	   *policies = wf_jsonb_get_text(headers, "ratelimit");
	int64		longest = policies == NULL ? -1 : read_policies_us(policies);

	for (int i = 0; i < lengthof(pairs); i++)
	{
		char	   *remaining = wf_jsonb_get_text(headers, pairs[i][0]);
		char	   *reset = wf_jsonb_get_text(headers, pairs[i][1]);

		if (remaining != NULL && reset != NULL && strcmp(remaining, "0") == 0)
			longest = Max(longest, read_reset_us(reset, now));
	}

	return longest;
}

/*
 * For how long an endpoint asks to be left alone; 0 when it does not.
 */
int64
wf_limits_wait_us(const WfExchange *exchange, TimestampTz now)
{
	int			status = exchange->status;
	int64		us = 0;

	if (exchange->retry_after_ms > 0 && (status == 429 || status == 503 || status == 403))
		us = Min(exchange->retry_after_ms, LONGEST_PAUSE_US / 1000) * 1000;
	if (exchange->headers != NULL)
		us = Max(us, read_headers_us(exchange->headers, now));

	return Max(0, Min(us, LONGEST_PAUSE_US));
}

/*
 * Pauses the endpoint when it asks for that; nobody waits for its row.  Tells
 * whether that was written.
 */
bool
wf_limits_note(const WfEndpoint *endpoint, const WfExchange *exchange)
{
	TimestampTz now = wf_now();
	int64		us = exchange->status == 0 ? 0 : wf_limits_wait_us(exchange, now);
	Datum		values[2] = {
		Int32GetDatum(endpoint->endpoint_id), TimestampTzGetDatum(now + us)
	};

	return us > 0 && now + us > endpoint->flow.pause_until + WORTH_WRITING_US &&
		wf_plan_execute(&pause_plan, values, NULL) > 0;
}

PG_FUNCTION_INFO_V1(wf_inner_limits_wait);

/*
 * _limits_wait(status int, retry_after interval, headers jsonb, now timestamptz)
 *		returns interval
 *
 * wf_limits_wait_us(), for tests and for docs; retry_after zero: none.
 */
Datum
wf_inner_limits_wait(PG_FUNCTION_ARGS)
{
	WfExchange	exchange = {
		.status = PG_GETARG_INT32(0),
		.retry_after_ms = wf_interval_us(PG_GETARG_INTERVAL_P(1)) / 1000,
		.headers = PG_GETARG_JSONB_P(2),
	};
	Interval   *wait = palloc0(sizeof(Interval));

	wait->time = wf_limits_wait_us(&exchange, PG_GETARG_TIMESTAMPTZ(3));

	PG_RETURN_INTERVAL_P(wait);
}
