/*
 * sweep.c
 *	  Rows to mend, some at a time, where any of them may refuse.
 */
#include "postgres.h"

#include "base/sweep.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"

static void
remove_at(WfAside *aside, int i)
{
	aside->n--;
	aside->ids[i] = aside->ids[aside->n];
	aside->until[i] = aside->until[aside->n];
}

static int
first_to_end(const WfAside *aside)
{
	int			first = 0;

	for (int i = 1; i < aside->n; i++)
		if (aside->until[i] < aside->until[first])
			first = i;

	return first;
}

void
wf_aside_put(WfAside *aside, int64 id, int64 delay_us)
{
	for (int i = 0; i < aside->n; i++)
		if (aside->ids[i] == id)
		{
			remove_at(aside, i);
			break;
		}
	if (aside->n == WF_ASIDE_SIZE)
		remove_at(aside, first_to_end(aside));
	aside->ids[aside->n] = id;
	aside->until[aside->n++] = GetCurrentTimestamp() + delay_us;
}

static void
remove_ended(WfAside *aside)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = aside->n - 1; i >= 0; i--)
		if (aside->until[i] <= now)
			remove_at(aside, i);
}

bool
wf_aside_is_empty(WfAside *aside)
{
	remove_ended(aside);

	return aside->n == 0;
}

bool
wf_aside_has(WfAside *aside, int64 id)
{
	remove_ended(aside);
	for (int i = 0; i < aside->n; i++)
		if (aside->ids[i] == id)
			return true;

	return false;
}

Datum
wf_aside_ids(WfAside *aside)
{
	Datum		ids[WF_ASIDE_SIZE];

	remove_ended(aside);
	for (int i = 0; i < aside->n; i++)
		ids[i] = Int64GetDatum(aside->ids[i]);

	return PointerGetDatum(construct_array(ids, aside->n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

void
wf_sweep_mended(WfSweep *sweep, int64 id)
{
	if (sweep->mended != NULL)
		sweep->mended[sweep->n] = id;
	sweep->n++;
}
