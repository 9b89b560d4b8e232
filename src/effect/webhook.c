/*
 * webhook.c
 *	  Judging the signature of a webhook that was received.
 *
 * Every scheme is HMAC-SHA256 over something and the body as it was received;
 * a row says where the signature stands and what comes before the body.
 * Signatures are compared in constant time.  Nothing here looks
 * at a table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/clock.h"
#include "base/jsonb.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

typedef struct Scheme
{
	const char *name;
	const char *signature_header;
	const char *separator;		/* between signatures */
	const char *prefix;			/* of the signatures that count */
	bool		is_base64;		/* else hexadecimal */
	const char *id_header;		/* signed with the body, or NULL */
	const char *time_header;	/* or NULL */
	const char *time_prefix;	/* in the signature header, or NULL */
	const char *head;			/* %i id, %t time */
	bool		is_standard;	/* as to how a secret is written */
} Scheme;

static const Scheme schemes[] = {
	{"standard", "webhook-signature", " ", "v1,", true, "webhook-id", "webhook-timestamp",
	NULL, "%i.%t.", true},
	{"stripe", "stripe-signature", ",", "v1=", false, NULL, NULL, "t=", "%t.", false},
	{"github", "x-hub-signature-256", ",", "sha256=", false, NULL, NULL, NULL, "", false},
	{"slack", "x-slack-signature", ",", "v0=", false, NULL, "x-slack-request-timestamp",
	NULL, "v0:%t:", false},
};

/* A webhook under judgement.  The first problem found stays. */
typedef struct Webhook
{
	const Scheme *scheme;
	WfMember   *headers;
	int			nheaders;
	int64		tolerance_us;
	WfSigned	message;
	const char *problem;
} Webhook;

static const Scheme *
find_scheme(const char *name)
{
	for (int i = 0; i < lengthof(schemes); i++)
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("scheme \"%s\" is not known", name),
			 errdetail("A scheme says how the sender signs."),
			 errhint("Use standard, stripe, github or slack.")));
	return NULL;
}

/* --------------------------------------------------------------- headers */

static List *
append_texts(List *texts, JsonbValue *value)
{
	JsonbValue *elements;
	int			nelements;

	if (!wf_jsonb_value_is_array(value))
		return lappend(texts, wf_jsonb_value_text(value));
	elements = wf_jsonb_elements(value, &nelements);
	for (int i = 0; i < nelements; i++)
		texts = lappend(texts, wf_jsonb_value_text(&elements[i]));

	return texts;
}

/*
 * The values of a header, whatever the case of its name: a string, or several
 * in an array.
 */
static List *
header_values(const Webhook *webhook, const char *name)
{
	List	   *values = NIL;

	for (int i = 0; i < webhook->nheaders; i++)
		if (pg_strcasecmp(webhook->headers[i].key, name) == 0)
			values = append_texts(values, &webhook->headers[i].value);

	return values;
}

/*
 * The value of a header that is signed; there must be one.
 */
static const char *
signed_header(Webhook *webhook, const char *name)
{
	List	   *values = header_values(webhook, name);

	if (list_length(values) == 1 && linitial(values) != NULL)
		return linitial(values);
	if (webhook->problem == NULL)
		webhook->problem = psprintf(values == NIL ? "header \"%s\" is missing" :
									"header \"%s\" has no single value", name);

	return "";
}

/*
 * What is said in the signature header, piece by piece, without the prefix.
 */
static List *
prefixed_pieces(const Webhook *webhook, const char *prefix)
{
	List	   *pieces = NIL;
	ListCell   *cell;

	foreach(cell, header_values(webhook, webhook->scheme->signature_header))
	{
		char	   *rest = lfirst(cell) == NULL ? NULL : pstrdup(lfirst(cell));
		char	   *piece;

		while ((piece = strsep(&rest, webhook->scheme->separator)) != NULL)
		{
			piece += strspn(piece, " ");
			if (strncmp(piece, prefix, strlen(prefix)) == 0)
				pieces = lappend(pieces, piece + strlen(prefix));
		}
	}

	return pieces;
}

/* ------------------------------------------------------------------ time */

static const char *
sent_time(Webhook *webhook)
{
	const Scheme *scheme = webhook->scheme;
	List	   *pieces;

	if (scheme->time_header != NULL)
		return signed_header(webhook, scheme->time_header);
	if (scheme->time_prefix == NULL)
		return NULL;
	pieces = prefixed_pieces(webhook, scheme->time_prefix);
	if (pieces != NIL)
		return linitial(pieces);
	if (webhook->problem == NULL)
		webhook->problem = psprintf("header \"%s\" is missing, or has no \"%s\"",
									scheme->signature_header, scheme->time_prefix);

	return "";
}

/*
 * A webhook is refused too long after it was signed, and before: a copy of it
 * is of no use later.
 */
static void
check_time(Webhook *webhook, const char *text)
{
	size_t		length = strlen(text);
	int64		age_us;

	if (webhook->problem != NULL)
		return;
	if (length == 0 || length > 11 || strspn(text, "0123456789") != length)
	{
		webhook->problem = "its time is not a number of seconds";
		return;
	}
	age_us = wf_now() - time_t_to_timestamptz((pg_time_t) atoll(text));
	if (age_us > webhook->tolerance_us || -age_us > webhook->tolerance_us)
		webhook->problem = psprintf("it was signed %lld seconds %s, further away than the tolerance",
									(long long) (Max(age_us, -age_us) / USECS_PER_SEC),
									age_us > 0 ? "ago" : "in the future");
}

/* ------------------------------------------------------------- signature */

/*
 * What is signed before the body.  An id with a dot could be shifted into
 * another id and time.
 */
static const char *
signed_head(Webhook *webhook)
{
	const Scheme *scheme = webhook->scheme;
	const char *id = scheme->id_header == NULL ? "" : signed_header(webhook, scheme->id_header);
	const char *time = sent_time(webhook);
	StringInfoData head;

	if (time != NULL)
		check_time(webhook, time);
	if (strchr(id, '.') != NULL && webhook->problem == NULL)
		webhook->problem = psprintf("header \"%s\" has a dot in it", scheme->id_header);
	initStringInfo(&head);
	for (const char *c = scheme->head; *c != '\0'; c++)
	{
		if (*c != '%')
			appendStringInfoChar(&head, *c);
		else if (*++c == 'i')
			appendStringInfoString(&head, id);
		else
			appendStringInfoString(&head, time);
	}

	return head.data;
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c == '\0' ? NULL : strchr(digits, pg_tolower(c));

	return found == NULL ? -1 : found - digits;
}

static bool
decode_hex(const char *text, uint8 *bytes)
{
	if (strlen(text) != 2 * WF_SIGNATURE_LENGTH)
		return false;
	for (int i = 0; i < WF_SIGNATURE_LENGTH; i++)
	{
		int			high = hex_digit(text[2 * i]);
		int			low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = high << 4 | low;
	}

	return true;
}

/*
 * Compares in a time that does not depend on where the two differ.
 */
static bool
same_bytes(const void *left, const void *right, size_t length)
{
	volatile uint8 difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= ((const uint8 *) left)[i] ^ ((const uint8 *) right)[i];

	return difference == 0;
}

/*
 * base64 has several spellings of the same bytes; only one counts.
 */
static bool
is_right_base64(const char *given, const uint8 *right)
{
	char	   *expected = wf_base64(right, WF_SIGNATURE_LENGTH);
	size_t		length = strlen(expected);

	return strlen(given) == length && same_bytes(given, expected, length);
}

static bool
is_right_hex(const char *given, const uint8 *right)
{
	uint8		bytes[WF_SIGNATURE_LENGTH];

	return decode_hex(given, bytes) && same_bytes(bytes, right, WF_SIGNATURE_LENGTH);
}

/*
 * Whether one of the signatures that came is the right one.
 */
static bool
came_with(const Webhook *webhook, const uint8 *right)
{
	const Scheme *scheme = webhook->scheme;
	bool		found = false;
	ListCell   *cell;

	foreach(cell, prefixed_pieces(webhook, scheme->prefix))
		found |= scheme->is_base64 ? is_right_base64(lfirst(cell), right) :
		is_right_hex(lfirst(cell), right);

	return found;
}

/*
 * Whether any line of the secret makes a signature that came; *obstacle is set
 * when that cannot be said.
 */
static bool
is_signed_by(const Webhook *webhook, const char *secret_name, char **obstacle)
{
	char	   *secret = wf_secret_read(secret_name, obstacle);
	size_t		length;
	bool		is_usable;
	bool		found = false;
	List	   *lines;
	ListCell   *cell;

	if (secret == NULL)
		return false;
	length = strlen(secret);
	lines = wf_secret_lines(secret);
	is_usable = lines != NIL;
	foreach(cell, lines)
	{
		uint8		right[WF_SIGNATURE_LENGTH];

		if (!wf_hmac(lfirst(cell), webhook->scheme->is_standard, &webhook->message, right))
			is_usable = false;
		else
			found |= came_with(webhook, right);
		explicit_bzero(right, sizeof(right));
	}
	explicit_bzero(secret, length);
	if (!is_usable)
		*obstacle = wf_unusable_secret(secret_name);

	return found;
}

static const char *
judge(Webhook *webhook, const char *secret_name, char **obstacle)
{
	webhook->message.head = signed_head(webhook);
	if (header_values(webhook, webhook->scheme->signature_header) == NIL)
		return psprintf("header \"%s\" is missing", webhook->scheme->signature_header);
	if (!is_signed_by(webhook, secret_name, obstacle) && webhook->problem == NULL)
		webhook->problem = psprintf("no signature in \"%s\" is right",
									webhook->scheme->signature_header);

	return webhook->problem;
}

static int64
tolerance_us(const Interval *tolerance)
{
	int64		us = wf_interval_us(tolerance);

	if (us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the tolerance of a webhook must not be negative"),
				 errdetail("It says how far from now a webhook may have been signed."),
				 errhint("Leave it out for 5 minutes.")));

	return us;
}

PG_FUNCTION_INFO_V1(wf_inner_webhook_problem);

/*
 * _webhook_problem(scheme text, headers jsonb, body bytea, secret_name text,
 *		tolerance interval, OUT problem text, OUT obstacle text)
 *
 * Both null when the webhook is signed as it should be.
 */
Datum
wf_inner_webhook_problem(PG_FUNCTION_ARGS)
{
	Webhook		webhook = {0};
	bytea	   *body = PG_GETARG_BYTEA_PP(2);
	const char *problem;
	char	   *obstacle = NULL;
	TupleDesc	description;
	Datum		values[2];
	bool		nulls[2];

	webhook.scheme = find_scheme(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	webhook.headers = wf_jsonb_members(wf_jsonb_root(PG_GETARG_JSONB_P(1)), &webhook.nheaders);
	webhook.message.body = VARDATA_ANY(body);
	webhook.message.body_length = VARSIZE_ANY_EXHDR(body);
	webhook.tolerance_us = tolerance_us(PG_GETARG_INTERVAL_P(4));

	problem = judge(&webhook, text_to_cstring(PG_GETARG_TEXT_PP(3)), &obstacle);
	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "a function that returns a row was called where none can be returned");
	values[0] = wf_text_datum(problem);
	values[1] = wf_text_datum(obstacle);
	nulls[0] = problem == NULL;
	nulls[1] = obstacle == NULL;

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

PG_FUNCTION_INFO_V1(wf_inner_webhook_body);

/*
 * _webhook_body(body bytea) returns jsonb: JSON as it is, else a text as a
 * string, else null; as the answers of calls are kept.
 */
Datum
wf_inner_webhook_body(PG_FUNCTION_ARGS)
{
	bytea	   *body = PG_GETARG_BYTEA_PP(0);
	WfExchange	exchange = {0};
	Jsonb	   *read;

	exchange.body = VARDATA_ANY(body);
	exchange.body_length = VARSIZE_ANY_EXHDR(body);
	read = wf_jsonb_get_jsonb(wf_answer_read(&exchange).response, "body");
	if (read == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(read);
}
