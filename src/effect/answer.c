/*
 * answer.c
 *	  From the bytes of an answer to values that are safe to store.
 *
 * What an outside service sends is stored as jsonb or text only when it is
 * valid in the database's encoding and not too deep; else as bytea.  So a
 * dump of the ledger can always be restored.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"
#include "utils/numeric.h"

#define MAX_JSON_DEPTH 64

/* Headers that may hold credentials. */
static const char *const dropped_headers[] = {
	"set-cookie", "www-authenticate", "proxy-authenticate", "authorization",
};

/*
 * Tells how deeply arrays and objects are nested, without parsing.
 */
static bool
is_too_deep(const char *text, size_t length)
{
	int			depth = 0;
	bool		in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '['))
		{
			if (++depth > MAX_JSON_DEPTH)
				return true;
		}
		else if (!in_string && (text[i] == '}' || text[i] == ']'))
			depth--;
	}

	return false;
}

/*
 * Runs a pure function that may refuse its input, and returns NULL if it
 * does.  Nothing but memory is touched, so no subtransaction is needed.
 */
static void *
attempt(void *(*function) (const void *input), const void *input)
{
	MemoryContext caller = CurrentMemoryContext;
	void	   *result = NULL;

	PG_TRY();
	{
		result = function(input);
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		MemoryContextSwitchTo(caller);
		if (ERRCODE_TO_CATEGORY(code) == ERRCODE_OPERATOR_INTERVENTION ||
			code == ERRCODE_OUT_OF_MEMORY)
			PG_RE_THROW();
		FlushErrorState();
		result = NULL;
	}
	PG_END_TRY();

	return result;
}

static void *
parse(const void *text)
{
	return wf_jsonb_from_cstring(text);
}

/*
 * Returns the jsonb of a text in the database's encoding; NULL when it is not
 * JSON, is too deep, or holds what jsonb cannot.
 */
Jsonb *
wf_parse_json(const char *text, size_t length)
{
	if (length == 0 || is_too_deep(text, length))
		return NULL;

	return attempt(parse, pnstrdup(text, length));
}

PG_FUNCTION_INFO_V1(wf_inner_read_json);

/*
 * _read_json(value text) returns jsonb
 */
Datum
wf_inner_read_json(PG_FUNCTION_ARGS)
{
	char	   *json = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *value = wf_parse_json(json, strlen(json));

	if (value == NULL)
		PG_RETURN_NULL();

	PG_RETURN_JSONB_P(value);
}

typedef struct Bytes
{
	const char *data;
	size_t		length;
} Bytes;

static void *
convert(const void *input)
{
	const Bytes *bytes = input;
	char	   *text = pnstrdup(bytes->data, bytes->length);

	return pg_any_to_server(text, bytes->length, PG_UTF8);
}

/*
 * Returns the bytes as text in the database's encoding; NULL when they are
 * not valid UTF-8, hold a NUL, or cannot be converted.
 */
static char *
as_text(const char *data, size_t length)
{
	Bytes		bytes = {data, length};

	if (memchr(data, '\0', length) != NULL ||
		!pg_verify_mbstr(PG_UTF8, data, length, true))
		return NULL;

	return attempt(convert, &bytes);
}

static Jsonb *
kept_headers(Jsonb *headers)
{
	if (headers == NULL)
		return wf_jsonb_empty_object();
	for (int i = 0; i < lengthof(dropped_headers); i++)
		if (wf_jsonb_get(headers, dropped_headers[i]) != NULL)
			headers = wf_jsonb_without(headers, dropped_headers[i]);

	return headers;
}

static bool
is_event_stream(Jsonb *headers)
{
	static const char type[] = "text/event-stream";
	char	   *value = wf_header_value(headers, "content-type");

	return value != NULL && pg_strncasecmp(value, type, strlen(type)) == 0 &&
		strchr("; ", value[strlen(type)]) != NULL;
}

static void
read_body(WfAnswer *answer, const WfExchange *exchange, Jsonb **shown)
{
	char	   *text = as_text(exchange->body, exchange->body_length);
	bool		is_whole = exchange->curl_code == 0 && !exchange->body_truncated;

	if (text == NULL)
	{
		answer->raw = palloc(VARHDRSZ + exchange->body_length);
		SET_VARSIZE(answer->raw, VARHDRSZ + exchange->body_length);
		memcpy(VARDATA(answer->raw), exchange->body, exchange->body_length);
		return;
	}
	if (is_event_stream(exchange->headers))
		answer->body = wf_read_events(text, is_whole);
	else if (!exchange->body_truncated)
		answer->body = wf_parse_json(text, strlen(text));
	*shown = answer->body != NULL ? answer->body : wf_jsonb_from_text(text);
}

/*
 * Returns {status, headers, body}; a stream of events is an object of them, a
 * body that is not JSON is a string, one that is no text is kept aside.
 */
WfAnswer
wf_answer_read(const WfExchange *exchange)
{
	WfAnswer	answer = {0};
	Jsonb	   *shown = NULL;
	WfMember	members[3] = {{"status"}, {"headers"}, {"body"}};

	if (exchange->body != NULL && exchange->body_length > 0)
		read_body(&answer, exchange, &shown);
	members[0].value.type = jbvNumeric;
	members[0].value.val.numeric = int64_to_numeric(exchange->status);
	members[1].value = *wf_jsonb_root(kept_headers(exchange->headers));
	members[2].value.type = jbvNull;
	if (shown != NULL)
		members[2].value = *wf_jsonb_root(shown);
	answer.response = wf_jsonb_object(members, lengthof(members));

	return answer;
}

typedef struct Selection
{
	Jsonb	   *target;
	const char *selector;
	Jsonb	   *variables;
} Selection;

static void *
select_first(const void *input)
{
	const Selection *selection = input;

	LOCAL_FCINFO(fcinfo, 4);
	Datum		path = DirectFunctionCall1(jsonpath_in,
										   CStringGetDatum(selection->selector));
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(selection->target);
	fcinfo->args[1].value = path;
	fcinfo->args[2].value = JsonbPGetDatum(selection->variables);
	fcinfo->args[3].value = BoolGetDatum(true);
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	result = jsonb_path_query_first(fcinfo);

	return fcinfo->isnull ? NULL : DatumGetJsonbP(result);
}

/*
 * Returns what a jsonpath finds first; NULL when it finds nothing or is wrong.
 */
Jsonb *
wf_select_first(Jsonb *target, const char *selector)
{
	return wf_select_with(target, selector, wf_jsonb_empty_object());
}

/*
 * The same of a jsonpath that may name the members of an object as variables.
 */
Jsonb *
wf_select_with(Jsonb *target, const char *selector, Jsonb *variables)
{
	Selection	selection = {target, selector, variables};

	return attempt(select_first, &selection);
}
