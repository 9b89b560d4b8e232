/*
 * event_stream.c
 *	  Server-sent events, as the WHATWG standard has them, as one value.
 *
 * A stream is collected like any answer, within its limits, and becomes
 * {"events": [{"event", "id", "data"}, ...]}: data is JSON where it is JSON, so
 * that a selector can go into what a model said bit by bit.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "effect/ledger.h"
#include "lib/stringinfo.h"
#include "utils/json.h"

/* A stream of more is kept as text. */
#define MAX_EVENTS	100000

typedef struct Stream
{
	StringInfoData json;		/* "[{...}, {...}" */
	int			nevents;
	StringInfoData data;		/* of the event under way, lines joined */
	char	   *event;			/* its type, or NULL */
	char	   *id;				/* stays from event to event */
	bool		has_data;
} Stream;

static void
append_member(StringInfo json, const char *name, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	escape_json(json, name);
	appendStringInfoString(json, ": ");
	escape_json(json, value);
	appendStringInfoString(json, ", ");
}

/*
 * An empty line ends an event; one without data is none.
 */
static void
dispatch(Stream *stream)
{
	Jsonb	   *value;

	if (stream->has_data)
	{
		value = wf_parse_json(stream->data.data, stream->data.len);
		appendStringInfoString(&stream->json, stream->nevents++ == 0 ? "{" : ", {");
		append_member(&stream->json, "event", stream->event);
		append_member(&stream->json, "id", stream->id);
		appendStringInfoString(&stream->json, "\"data\": ");
		if (value == NULL)
			escape_json(&stream->json, stream->data.data);
		else
			appendStringInfoString(&stream->json, wf_jsonb_to_cstring(value));
		appendStringInfoChar(&stream->json, '}');
	}
	resetStringInfo(&stream->data);
	stream->has_data = false;
	stream->event = NULL;
}

static void
read_field(Stream *stream, const char *name, char *value)
{
	if (strcmp(name, "data") == 0)
	{
		if (stream->has_data)
			appendStringInfoChar(&stream->data, '\n');
		appendStringInfoString(&stream->data, value);
		stream->has_data = true;
	}
	else if (strcmp(name, "event") == 0)
		stream->event = value;
	else if (strcmp(name, "id") == 0)
		stream->id = value;
}

/*
 * "name: value", "name:value" or "name"; ": comment".
 */
static void
read_line(Stream *stream, char *line)
{
	char	   *colon = strchr(line, ':');
	char	   *value = colon == NULL ? line + strlen(line) : colon + 1;

	if (*line == '\0')
	{
		dispatch(stream);
		return;
	}
	if (colon != NULL)
		*colon = '\0';
	if (*value == ' ')
		value++;
	read_field(stream, line, value);
}

/*
 * Returns {"events": [...]}; NULL when there are too many.  The last event
 * need not be ended by an empty line, unless the stream broke off.
 */
Jsonb *
wf_read_events(const char *text, bool is_whole)
{
	Stream		stream = {0};
	char	   *rest = pstrdup(text);

	initStringInfo(&stream.json);
	initStringInfo(&stream.data);
	appendStringInfoString(&stream.json, "{\"events\": [");
	if (strncmp(rest, "\xef\xbb\xbf", 3) == 0)
		rest += 3;
	while (*rest != '\0' && stream.nevents <= MAX_EVENTS)
	{
		char	   *line = rest;
		bool		ends_with_crlf;

		rest += strcspn(rest, "\r\n");
		if (*rest == '\0' && !is_whole)
			break;
		ends_with_crlf = rest[0] == '\r' && rest[1] == '\n';
		if (*rest != '\0')
			*rest++ = '\0';
		if (ends_with_crlf)
			rest++;
		read_line(&stream, line);
	}
	if (is_whole)
		dispatch(&stream);
	if (stream.nevents > MAX_EVENTS)
		return NULL;
	appendStringInfoString(&stream.json, "]}");

	return wf_jsonb_from_cstring(stream.json.data);
}
