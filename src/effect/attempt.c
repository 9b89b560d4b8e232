/*
 * attempt.c
 *	  The attempts of effects: rows of evidence.
 */
#include "postgres.h"

#include <math.h>

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "statistics/statistics.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
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

/*
 * The members of a detail, one after the other.
 */
typedef struct Detail
{
	int			n;
	WfMember	members[10];
} Detail;

static JsonbValue *
add_field(Detail *detail, const char *name, enum jbvType type)
{
	WfMember   *member = &detail->members[detail->n++];

	Assert(detail->n <= lengthof(detail->members));
	member->key = name;
	member->value.type = type;

	return &member->value;
}

static void
add_text(Detail *detail, const char *name, const char *text)
{
	JsonbValue *value = add_field(detail, name, jbvString);

	value->val.string.val = unconstify(char *, text);
	value->val.string.len = strlen(text);
}

static void
add_true(Detail *detail, const char *name)
{
	add_field(detail, name, jbvBool)->val.boolean = true;
}

static void
add_number(Detail *detail, const char *name, int64 number, int ndecimals)
{
	add_field(detail, name, jbvNumeric)->val.numeric = ndecimals == 0 ?
		int64_to_numeric(number) : int64_div_fast_to_numeric(number, ndecimals);
}

static const char *
request_id_of(Jsonb *headers)
{
	char	   *id = wf_jsonb_get_text(headers, "request-id");

	return id != NULL ? id : wf_jsonb_get_text(headers, "x-request-id");
}

static void
add_exchange(Detail *detail, const WfExchange *exchange)
{
	static const char *const phases[] = {"not_sent", "sent", "answered"};
	const char *request_id = exchange->headers == NULL ? NULL :
	request_id_of(exchange->headers);

	add_text(detail, "phase", phases[exchange->phase]);
	add_number(detail, "curl_code", exchange->curl_code, 0);
	add_number(detail, "status", exchange->status, 0);
	add_number(detail, "ms", (int64) rint(exchange->total_ms * 10), 1);
	add_number(detail, "bytes", exchange->body_length, 0);
	if (request_id != NULL)
		add_text(detail, "request_id", request_id);
}

/*
 * What was seen on the wire, for the record.
 */
static Jsonb *
attempt_detail(const WfEffect *effect, const WfNews *news)
{
	Detail		detail = {0};

	add_text(&detail, "evidence", evidence_of(news));
	if (wf_effect_is(effect, "claimed"))
		add_true(&detail, "before");
	if (news->finding != WF_FINDING_NONE)
		add_text(&detail, "lookup", finding_name(news->finding));
	if (news->exchange != NULL && wf_has_marker(news->exchange->headers, news->replay_marker))
		add_true(&detail, "replayed");
	if (news->exchange != NULL)
		add_exchange(&detail, news->exchange);

	return wf_jsonb_object(detail.members, detail.n);
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
	wf_statistics_note_attempt(effect->endpoint_id, outcome, error_class);
}
