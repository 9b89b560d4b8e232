/*
 * notes.c
 *	  What the end of the present transaction does to low-water marks.
 *
 * What was noted under a savepoint that is undone stays noted: a mark that is
 * lower than it need be does no harm.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/switched.h"
#include "base/wake.h"
#include "look.h"
#include "marks.h"
#include "utils/memutils.h"

/* Of so many notes the last are looked at for one that can be used again. */
#define LOOK_BACK 32

/* Of so many notes of tenants on, the others are of any tenant. */
#define MANY_TENANTS 1000

static WfEnd own_end = 0;
static WfMarkNote *notes = NULL;	/* in TopTransactionContext */
static int	n_notes = 0;
static int	max_notes = 0;
static int	n_of_tenants = 0;

/* Tables with marks; and those of which rows were stored without a note. */
static const char *const noted_tables[] = {"job", "timer", "child_end"};
static Oid	unnoted[lengthof(noted_tables)];

static void
lower_marks(TransactionId held_by)
{
	for (int i = 0; i < n_notes; i++)
		wf_marks_lower(&notes[i], held_by);
}

/*
 * After a commit the rows are visible; nobody can end a transaction that is being
 * prepared before it is held.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	for (int i = 0; i < lengthof(unnoted); i++)
		if (event == XACT_EVENT_COMMIT && OidIsValid(unnoted[i]))
			wf_marks_forget(unnoted[i]);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		memset(unnoted, 0, sizeof(unnoted));
	if (n_notes == 0)
		return;
	if (event == XACT_EVENT_COMMIT)
		lower_marks(InvalidTransactionId);
	else if (event == XACT_EVENT_PREPARE)
		lower_marks(GetTopTransactionIdIfAny());
	else if (event != XACT_EVENT_ABORT)
		return;
	notes = NULL;
	n_notes = max_notes = n_of_tenants = 0;
}

/*
 * Who has disabled the triggers has stored rows, or will; who waits for such rows
 * is to look for them.
 */
static void
on_switched(const char *table)
{
	for (int i = 0; i < lengthof(noted_tables); i++)
	{
		if (strcmp(table, noted_tables[i]) != 0 || !wf_marks_attach())
			continue;
		wf_end_is_due(own_end);
		unnoted[i] = wf_look_relation(table);
		wf_wake_at_commit(i == 0 ? WF_WAKE_TASK : WF_WAKE_MAINTENANCE, NULL);
	}
}

void
wf_notes_init(void)
{
	own_end = wf_end_register(on_transaction_end, NULL);
	wf_when_switched(on_switched);
}

static void
reserve_note(void)
{
	int			room = Max(16, 2 * max_notes);

	if (n_notes < max_notes)
		return;
	notes = notes == NULL ?
		MemoryContextAllocHuge(TopTransactionContext, sizeof(WfMarkNote) * room) :
		repalloc_huge(notes, sizeof(WfMarkNote) * room);
	max_notes = room;			/* a savepoint may outlive that there is none */
}

static bool
is_same_place(const WfMarkNote *a, const WfMarkNote *b)
{
	return a->shelf == b->shelf && a->tenants == b->tenants &&
		a->tenant.hash[0] == b->tenant.hash[0] && a->tenant.hash[1] == b->tenant.hash[1] &&
		wf_track_key_is(&a->key, &b->key);
}

/*
 * One note for each shelf and tenant is enough; that there are more does no harm.
 */
void
wf_marks_note(const WfMarkNote *new_note)
{
	WfMarkNote	of_any = *new_note;

	if (!wf_marks_attach())
		return;
	if (new_note->tenants == WF_OF_TENANT && n_of_tenants >= MANY_TENANTS)
	{
		of_any.tenants = WF_OF_ANY_TENANT;
		memset(&of_any.tenant, 0, sizeof(WfTenantKey));
		new_note = &of_any;
	}
	for (int i = n_notes - 1; i >= Max(0, n_notes - LOOK_BACK); i--)
	{
		WfMarkNote *note = &notes[i];

		if (!is_same_place(note, new_note))
			continue;
		note->position = Min(note->position, new_note->position);
		note->is_grouped |= new_note->is_grouped;
		return;
	}
	wf_end_is_due(own_end);
	reserve_note();
	notes[n_notes++] = *new_note;
	n_of_tenants += new_note->tenants == WF_OF_TENANT;
}

const WfMarkNote *
wf_marks_own(const WfTrackKey *key, int *i)
{
	while (*i < n_notes)
	{
		const WfMarkNote *note = &notes[(*i)++];

		if (wf_track_key_is(&note->key, key))
			return note;
	}

	return NULL;
}

/*
 * Before which this transaction has put nothing of a tenant; WF_MARK_NONE when it has
 * put nothing there.
 */
int64
wf_marks_own_of_tenant(const WfTrackKey *key, const WfTenantKey *tenant)
{
	int64		position = WF_MARK_NONE;
	int			next = 0;
	const WfMarkNote *own;

	while (n_of_tenants > 0 && (own = wf_marks_own(key, &next)) != NULL)
		if (own->tenants == WF_OF_ANY_TENANT ||
			(own->tenants == WF_OF_TENANT && own->tenant.hash[0] == tenant->hash[0] &&
			 own->tenant.hash[1] == tenant->hash[1]))
			position = Min(position, own->position);

	return position;
}
