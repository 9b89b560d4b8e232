/*
 * group_notes.c
 *	  What the end of the present transaction does to groups.
 *
 * What was noted under a savepoint that is undone stays noted: to look at a
 * group once too often does no harm.  That a group is mended is forgotten with
 * the savepoint.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/switched.h"
#include "base/wake.h"
#include "groups.h"
#include "utils/memutils.h"

typedef enum NoteKind
{
	NOTE_BEHIND = WF_GROUP_BEHIND,
	NOTE_ENDS = WF_GROUP_ENDS,
	NOTE_LEFT,
	NOTE_MENDED,
	NOTE_ALL_MENDED,
} NoteKind;

typedef struct Note
{
	NoteKind	kind;
	WfTrackKey	key;			/* of the queue */
	const char *queue;
	const char *group;			/* NULL: all of the queue */
	uint32		bucket;
	uint64		number;			/* a count, a version, an epoch */
	SubTransactionId subtransaction;
} Note;

/* Of so many notes the last are looked at for the same one. */
#define LOOK_BACK 8

static WfEnd own_end = 0;
static Note *notes = NULL;		/* in TopTransactionContext */
static int	n_notes = 0;
static int	max_notes = 0;

/* The triggers that note were disabled, or enabled. */
static bool is_switched = false;

static void
tell_counts(void)
{
	for (int i = 0; i < n_notes; i++)
		if (notes[i].kind == NOTE_BEHIND || notes[i].kind == NOTE_ENDS)
			wf_groups_add((WfGroupCounter) notes[i].kind, notes[i].bucket);
}

/*
 * Whether somebody else was at the group: the others add to the other counter.
 */
static bool
was_told(const Note *note)
{
	WfGroupCounter other = note->kind == NOTE_BEHIND ? WF_GROUP_ENDS : WF_GROUP_BEHIND;

	return wf_groups_count(other, note->bucket) != note->number;
}

static void
leave(const Note *note)
{
	wf_groups_leave(&note->key, note->group);
	wf_wake_now(WF_WAKE_TASK, note->queue);
}

static void
apply(const Note *note)
{
	switch (note->kind)
	{
		case NOTE_BEHIND:
		case NOTE_ENDS:
			if (was_told(note))
				leave(note);
			break;
		case NOTE_LEFT:
			leave(note);
			break;
		case NOTE_MENDED:
			wf_groups_mended(&note->key, note->group, note->number);
			break;
		case NOTE_ALL_MENDED:
			wf_groups_all_mended(&note->key, note->number);
			break;
	}
}

/*
 * After a commit all is visible: of two that were at a group together, whoever
 * comes last is told.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && is_switched)
	{
		wf_groups_leave_all();
		wf_wake_now(WF_WAKE_TASK, NULL);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		is_switched = false;
	if (n_notes == 0 || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE &&
						 event != XACT_EVENT_ABORT))
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		tell_counts();
		for (int i = 0; i < n_notes; i++)
			apply(&notes[i]);
	}
	if (event == XACT_EVENT_PREPARE)
		wf_groups_hold(GetTopTransactionIdIfAny());
	notes = NULL;
	n_notes = max_notes = 0;
}

/*
 * Of what a savepoint has noted that is undone; returns how many.
 */
static int
keep_looks(Note *undone, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
		if (undone[i].kind < NOTE_MENDED)
			undone[kept++] = undone[i];

	return kept;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	int			first = n_notes;

	while (first > 0 && notes[first - 1].subtransaction == mine)
		first--;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		n_notes = first + keep_looks(&notes[first], n_notes - first);
	if (event == SUBXACT_EVENT_ABORT_SUB || event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = first; i < n_notes; i++)
			notes[i].subtransaction = parent;
}

/*
 * Who has disabled the triggers has stored jobs, or will.
 */
static void
on_switched(const char *table)
{
	if (strcmp(table, "job") != 0 || !wf_groups_are_kept())
		return;
	wf_wake_prepare();
	wf_end_is_due(own_end);
	is_switched = true;
}

void
wf_group_notes_init(void)
{
	wf_when_switched(on_switched);
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}

static const Note *
find(NoteKind kind, const WfTrackKey *key, const char *group)
{
	for (int i = n_notes - 1; i >= Max(0, n_notes - LOOK_BACK); i--)
	{
		const Note *note = &notes[i];

		if (note->kind == kind && wf_track_key_is(&note->key, key) &&
			(group == NULL ? note->group == NULL : note->group != NULL && strcmp(note->group, group) == 0))
			return note;
	}

	return NULL;
}

static void
add(NoteKind kind, const char *queue, const char *group, uint64 number)
{
	WfTrackKey	key = wf_groups_key(queue);

	if (find(kind, &key, group) != NULL)
		return;					/* an earlier count tells more */
	wf_wake_prepare();
	wf_end_is_due(own_end);
	if (n_notes == max_notes)
	{
		int			room = Max(16, 2 * max_notes);

		notes = notes == NULL ?
			MemoryContextAllocHuge(TopTransactionContext, sizeof(Note) * room) :
			repalloc_huge(notes, sizeof(Note) * room);
		max_notes = room;
	}
	notes[n_notes] = (Note)
	{
		.kind = kind,.key = key,.number = number,
			.queue = MemoryContextStrdup(TopTransactionContext, queue),
			.group = group == NULL ? NULL : MemoryContextStrdup(TopTransactionContext, group),
			.bucket = group == NULL ? 0 : wf_groups_bucket(&key, group),
			.subtransaction = GetCurrentSubTransactionId(),
	};
	n_notes++;
}

void
wf_groups_note(WfGroupCounter counter, const char *queue, const char *group, uint64 count)
{
	add((NoteKind) counter, queue, group, count);
}

bool
wf_groups_is_noted(WfGroupCounter counter, const char *queue, const char *group)
{
	WfTrackKey	key = wf_groups_key(queue);

	return find((NoteKind) counter, &key, group) != NULL;
}

bool
wf_groups_has_mended(const WfTrackKey *key, const char *group, uint64 number)
{
	for (int i = 0; i < n_notes; i++)
		if (notes[i].kind == (group == NULL ? NOTE_ALL_MENDED : NOTE_MENDED) &&
			notes[i].number == number && wf_track_key_is(&notes[i].key, key) &&
			(group == NULL || strcmp(notes[i].group, group) == 0))
			return true;

	return false;
}

void
wf_groups_note_left(const char *queue, const char *group)
{
	if (wf_groups_are_kept())
		add(NOTE_LEFT, queue, group, 0);
}

static bool
is_among(List *groups, const char *group)
{
	ListCell   *cell;

	foreach(cell, groups)
		if (strcmp(lfirst(cell), group) == 0)
		return true;

	return false;
}

void
wf_groups_tell(const char *queue, const WfMend *mend, List *left)
{
	bool		is_changed = TransactionIdIsValid(GetTopTransactionIdIfAny());
	WfTrackKey	key;
	ListCell   *cell;

	if (!wf_groups_are_kept())
		return;
	key = wf_groups_key(queue);
	foreach(cell, left)
		wf_groups_leave(&key, lfirst(cell));
	for (int i = 0; i < mend->n; i++)
	{
		if (is_among(left, mend->groups[i]))
			continue;
		if (is_changed)
			add(NOTE_MENDED, queue, mend->groups[i], mend->versions[i]);
		else
			wf_groups_mended(&key, mend->groups[i], mend->versions[i]);
	}
	if (mend->is_all && is_changed)
		add(NOTE_ALL_MENDED, queue, NULL, mend->epoch);
	else if (mend->is_all)
		wf_groups_all_mended(&key, mend->epoch);
}
