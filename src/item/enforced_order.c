/*
 * enforced_order.c
 *	  Entries of the log that come late.
 *
 * A trigger may move another row of the statement that fires it, and a function
 * in RETURNING its own one, before what the statement itself did to that row is
 * judged.  Then the later move is logged already.  The entry that comes late gets
 * a number below: those of the sequence are so far apart (sql/tables.sql) that
 * there is room for more of them than triggers can be nested.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/enforced.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * The entries of a key, in no order: a plan by index has none to offer.  A
 * transaction writes to one month.
 */
static uint64
find_entries(const WfEnforcedMove *move)
{
	static WfPlan plan = {
		.name = "entries of a row",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {TEXTOID, INT4OID, INT2OID},
		.by_index = true,
		.sql = "SELECT t.row_seq, t.at, t.xmin, t.cmin FROM workflow.transition AS t "
		"WHERE t.key OPERATOR(pg_catalog.=) $1 AND t.enforcement_id OPERATOR(pg_catalog.=) $2 "
		"AND t.enforcement_id IS NOT NULL AND t.month OPERATOR(pg_catalog.=) $3",
	};
	Datum		values[3];

	values[0] = CStringGetTextDatum(move->key);
	values[1] = Int32GetDatum(move->enforced->enforcement_id);
	values[2] = Int16GetDatum(wf_transaction_month());

	return wf_plan_execute(&plan, values, NULL);
}

/*
 * Whether an entry was written after a command of this transaction.  Entries are
 * never updated, so their command is what it seems to be.
 */
static bool
is_later(uint64 entry, CommandId command)
{
	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(wf_result_datum(entry, 3, NULL))) &&
		DatumGetCommandId(wf_result_datum(entry, 4, NULL)) > command;
}

/*
 * Whether moves are logged that came after this one; then which number is below
 * theirs, and a time that is not after.
 */
bool
wf_enforced_is_overtaken(const WfEnforcedMove *move, int64 *row_seq, TimestampTz *at)
{
	WfCaller	caller;
	CommandId	command;
	uint64		n;
	int64		first = 0;		/* number of the first later one */

	if (!wf_row_is_superseded(move->row))
		return false;
	command = HeapTupleHeaderGetCmin(move->row->t_data);
	wf_enter_owner(&caller);
	SPI_connect();
	n = find_entries(move);
	for (uint64 entry = 0; entry < n; entry++)
	{
		int64		number = wf_result_int8(entry, 1);

		if (!is_later(entry, command) || (first != 0 && number > first))
			continue;
		first = number;
		*row_seq = number - 1;
		*at = Min(*at, DatumGetTimestampTz(wf_result_datum(entry, 2, NULL)));
	}
	SPI_finish();
	wf_leave_owner(&caller);

	return first != 0;
}
