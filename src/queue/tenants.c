/*
 * tenants.c
 *	  From one tenant of a fair queue to the next.
 *
 * The index job_tenant has the jobs of a priority by tenant and due time.  Two steps lead on:
 * to the next name, that of any entry, also of what is finished, for which no row is
 * read; and to the first job of that tenant, from his low-water mark on.  So nothing is
 * walked over that was finished before; who has walked over more than a few raises the
 * mark.
 */
#include "postgres.h"

#include "access/itup.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "columns.h"
#include "look.h"
#include "miscadmin.h"
#include "marks.h"
#include "tenants.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns of job_tenant. */
enum
{
	TENANT_QUEUE = 1,
	TENANT_KIND,
	TENANT_PRIORITY,
	TENANT_NAME,
	TENANT_RUN_AT,
};

/* So many entries of one tenant are stepped over before the next one is looked up. */
#define STEPS 16

/* Who has walked over more rows than that raises the mark. */
#define FEW_ROWS 16

void
wf_tenants_open(WfTenants *tenants, const WfClaim *claim, int priority, TimestampTz from)
{
	WfLook	   *look = &tenants->look;

	if (!wf_look_open(look, "job", "job_tenant"))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index workflow.job_tenant is missing"),
				 errdetail("Turns of tenants are found by it."),
				 errhint("Create it again, as in sql/tables.sql of the installed version.")));
	CommandCounterIncrement();
	tenants->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	tenants->has_marks = !IsolationIsSerializable() && !RecoveryInProgress() && wf_marks_attach();
	tenants->track = wf_track_key(RelationGetRelid(look->table), claim->kind, claim->queue);
	tenants->priority = priority;
	tenants->from = from;
	tenants->now = claim->now;
	tenants->name = NULL;
	tenants->is_at_entry = false;
	tenants->names = wf_index_beginscan(look->table, look->index, tenants->snapshot, TENANT_NAME);
	tenants->names->xs_want_itup = true;
	tenants->rows = wf_index_beginscan(look->table, look->index, tenants->snapshot, TENANT_RUN_AT);
	tenants->slot = table_slot_create(look->table, NULL);
	wf_look_key(look, TENANT_QUEUE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(claim->queue));
	wf_look_key(look, TENANT_KIND, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(claim->kind));
	wf_look_key(look, TENANT_PRIORITY, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(priority));
}

void
wf_tenants_close(WfTenants *tenants)
{
	ExecDropSingleTupleTableSlot(tenants->slot);
	index_endscan(tenants->rows);
	index_endscan(tenants->names);
	UnregisterSnapshot(tenants->snapshot);
	wf_look_close(&tenants->look);
}

/*
 * The name in the next entry; NULL when there is none.
 */
static text *
read_entry(WfTenants *tenants)
{
	IndexScanDesc scan = tenants->names;
	bool		isnull;

	if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
		return NULL;

	return DatumGetTextPP(index_getattr(scan->xs_itup, TENANT_NAME, scan->xs_itupdesc, &isnull));
}

static int
compare(const text *a, const text *b)
{
	int			length_a = VARSIZE_ANY_EXHDR(a);
	int			length_b = VARSIZE_ANY_EXHDR(b);
	int			result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(length_a, length_b));

	return result != 0 ? result : length_a - length_b;
}

/*
 * The first entry behind those of the present tenant; of all, where there is none.
 */
static text *
seek_entry(WfTenants *tenants)
{
	if (tenants->name == NULL)
		wf_look_key(&tenants->look, TENANT_NAME, BTGreaterEqualStrategyNumber, F_TEXT_GE,
					CStringGetTextDatum(""));
	else
		wf_look_key(&tenants->look, TENANT_NAME, BTGreaterStrategyNumber, F_TEXT_GT,
					PointerGetDatum(tenants->name));
	index_rescan(tenants->names, tenants->look.keys, TENANT_NAME, NULL, 0);

	return read_entry(tenants);
}

/*
 * Goes on to the next name.
 */
static bool
next_name(WfTenants *tenants)
{
	text	   *name = NULL;
	int			i;

	for (i = 0; tenants->is_at_entry && i < STEPS; i++)
	{
		name = read_entry(tenants);
		if (name == NULL || compare(name, tenants->name) != 0)
			break;
	}
	if (!tenants->is_at_entry || i == STEPS)
		name = seek_entry(tenants);
	tenants->is_at_entry = name != NULL;
	if (name == NULL)
		return false;
	tenants->name = cstring_to_text_with_len(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

	return true;
}

void
wf_tenants_begin_behind(WfTenants *tenants, const char *name)
{
	tenants->name = name == NULL ? NULL : cstring_to_text(name);
	tenants->is_at_entry = false;
}

/* ----------------------------------------------------------------- first jobs */

static void
set_row_keys(WfTenants *tenants, TimestampTz from)
{
	wf_look_key(&tenants->look, TENANT_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(tenants->name));
	wf_look_key(&tenants->look, TENANT_RUN_AT, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));
}

/*
 * What is finished of this tenant shall not be walked over again.
 */
static void
raise_mark(WfTenants *tenants, const WfTenantKey *key)
{
	WfTenantAsk ask;
	Snapshot	snapshot;
	TimestampTz found = WF_MARK_NONE;

	if (!wf_tenant_ask(&ask, &tenants->track, key))
		return;
	snapshot = wf_look_new_snapshot();
	set_row_keys(tenants, ask.from);
	(void) wf_look_first(&tenants->look, TENANT_RUN_AT, snapshot, TENANT_RUN_AT, &found, 0, NULL);
	wf_tenant_tell(&ask, snapshot, found);
	UnregisterSnapshot(snapshot);
}

/*
 * Reads the first row of the tenant; how many it came by that are gone, or not yet there.
 */
static bool
read_first_row(WfTenants *tenants, TimestampTz from, int *passed)
{
	*passed = 0;
	set_row_keys(tenants, from);
	index_rescan(tenants->rows, tenants->look.keys, TENANT_RUN_AT, NULL, 0);
	while (index_getnext_tid(tenants->rows, ForwardScanDirection) != NULL)
	{
		if (index_fetch_heap(tenants->rows, tenants->slot))
			return true;
		(*passed)++;
	}

	return false;
}

/*
 * Finds the first job of the tenant that is due.
 */
static bool
find_first(WfTenants *tenants, WfTenantTurn *turn)
{
	WfTenantKey key = wf_tenant_key(&tenants->track, tenants->priority, VARDATA_ANY(tenants->name),
									VARSIZE_ANY_EXHDR(tenants->name));
	int64		mark = tenants->has_marks ? wf_tenant_mark(&tenants->track, &key) : PG_INT64_MIN;
	TimestampTz from = Max(tenants->from, Min(mark, wf_marks_own_of_tenant(&tenants->track, &key)));
	bool		found = false;
	bool		isnull;
	int			passed;

	if (from == WF_MARK_NONE)
		return false;
	found = read_first_row(tenants, from, &passed);
	if (tenants->has_marks && (passed > FEW_ROWS || !found))
		raise_mark(tenants, &key);
	if (!found)
		return false;
	turn->from = DatumGetTimestampTz(slot_getattr(tenants->slot, JOB_RUN_AT + 1, &isnull));
	turn->units = DatumGetInt32(slot_getattr(tenants->slot, JOB_UNITS + 1, &isnull));
	turn->tenant = PointerGetDatum(tenants->name);

	return turn->from <= tenants->now;
}

/*
 * Leaves no copy of the name behind: a claim may come by many tenants.
 */
static bool
is_behind(const text *name, const char *until)
{
	int			length = VARSIZE_ANY_EXHDR(name);
	int			length_until = strlen(until);
	int			result = memcmp(VARDATA_ANY(name), until, Min(length, length_until));

	return result > 0 || (result == 0 && length > length_until);
}

bool
wf_tenants_next(WfTenants *tenants, const char *until, WfTenantTurn *turn)
{
	while (next_name(tenants))
	{
		CHECK_FOR_INTERRUPTS();
		if (until != NULL && is_behind(tenants->name, until))
			return false;
		if (find_first(tenants, turn))
			return true;
	}

	return false;
}
