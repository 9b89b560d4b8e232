/*
 * attempt.c
 *	  The attempts of effects: rows of evidence.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

static WfPlan insert_attempt_plan = {
	.name = "insert attempt of effect",
	.expected = SPI_OK_INSERT,
	.nargs = 11,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, JSONBARRAYOID},
	.sql = "INSERT INTO workflow.attempt (effect_id, item_id, kind, attempt, worker, "
	"started_at, finished_at, outcome, error_class, message, detail) "
	"SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[], $4::int4[], $5::text[], "
	"$6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], "
	"$11::jsonb[])",
};

static const char *
evidence_name(WfEvidence evidence)
{
	static const char *const names[] = {"not_applied", "applied", "unknown"};

	return names[evidence];
}

/*
 * A lookup that proves nothing says nothing about the effect.
 */
static const char *
evidence_of(const WfNews *news)
{
	bool		is_lookup = news->finding != WF_FINDING_NONE;

	return evidence_name(is_lookup && !news->verdict.settles_all ?
						 WF_NOT_KNOWN : news->verdict.evidence);
}

static const char *
finding_name(WfFinding finding)
{
	static const char *const names[] = {"none", "found", "absent", "inconclusive"};

	return names[finding];
}

static void
add_field(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": %s", json->len == 1 ? "" : ", ", name, value);
}

static const char *
request_id_of(Jsonb *headers)
{
	char	   *id = wf_jsonb_get_text(headers, "request-id");

	return id != NULL ? id : wf_jsonb_get_text(headers, "x-request-id");
}

/*
 * What was seen on the wire, for the record.
 */
static Jsonb *
attempt_detail(const WfEffect *effect, const WfNews *news)
{
	static const char *const phases[] = {"\"not_sent\"", "\"sent\"", "\"answered\""};
	const WfExchange *exchange = news->exchange;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	add_field(&json, "evidence", psprintf("\"%s\"", evidence_of(news)));
	if (wf_effect_is(effect, "claimed"))
		add_field(&json, "before", "true");
	if (news->finding != WF_FINDING_NONE)
		add_field(&json, "lookup", psprintf("\"%s\"", finding_name(news->finding)));
	if (exchange != NULL && wf_has_marker(exchange->headers, news->replay_marker))
		add_field(&json, "replayed", "true");
	if (exchange != NULL)
	{
		const char *request_id = exchange->headers == NULL ? NULL :
		request_id_of(exchange->headers);

		add_field(&json, "phase", phases[exchange->phase]);
		add_field(&json, "curl_code", psprintf("%d", exchange->curl_code));
		add_field(&json, "status", psprintf("%d", exchange->status));
		add_field(&json, "ms", psprintf("%.1f", exchange->total_ms));
		add_field(&json, "bytes", psprintf("%zu", exchange->body_length));
		if (request_id != NULL)
		{
			StringInfoData quoted;

			initStringInfo(&quoted);
			escape_json(&quoted, request_id);
			add_field(&json, "request_id", quoted.data);
		}
	}
	appendStringInfoChar(&json, '}');

	return wf_jsonb_from_cstring(json.data);
}

WfRows *
wf_attempt_rows(void)
{
	return wf_rows_make(&insert_attempt_plan);
}

/*
 * Adds a row of evidence; nothing is ever dropped.
 */
void
wf_effect_note_attempt(WfLedgerPage *page, const WfEffect *effect, const WfNews *news,
					   const char *outcome, const char *message)
{
	TimestampTz now = page->at;
	const char *error_class = news->verdict.error_class;
	Datum		values[11];
	char		nulls[12];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = Int64GetDatum(effect->item_id);
	nulls[1] = effect->item_id == 0 ? 'n' : ' ';
	values[2] = CStringGetTextDatum(effect->kind);
	values[3] = Int32GetDatum(effect->attempts);
	values[4] = wf_text_datum(effect->worker);
	nulls[4] = WF_NULL_FLAG(effect->worker);
	values[5] = TimestampTzGetDatum(effect->sending_at == 0 ? now : effect->sending_at);
	values[6] = TimestampTzGetDatum(now);
	values[7] = CStringGetTextDatum(outcome);
	values[8] = wf_text_datum(error_class);
	nulls[8] = WF_NULL_FLAG(error_class);
	values[9] = wf_text_datum(message);
	nulls[9] = WF_NULL_FLAG(message);
	values[10] = JsonbPGetDatum(attempt_detail(effect, news));
	wf_rows_add(page->attempts, values, nulls);
}
