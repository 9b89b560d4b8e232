/*
 * attempt.c
 *	  The attempts of effects in the present transaction, summed up.
 *
 * As with moves: see note.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "note.h"
#include "utils/memutils.h"

/* As many of the last notes are looked at for one to add to. */
#define LOOK_BACK 32

/* In TopTransactionContext. */
static WfAttemptNote *notes = NULL;
static int	n_notes = 0;
static int	max_notes = 0;

static bool
is_same(const WfAttemptNote *left, const WfAttemptNote *right)
{
	return left->table == right->table &&
		left->endpoint_id == right->endpoint_id &&
		left->subtransaction == right->subtransaction &&
		strcmp(left->outcome, right->outcome) == 0 &&
		strcmp(left->error_class, right->error_class) == 0;
}

void
wf_statistics_note_attempt(int endpoint_id, const char *outcome, const char *error_class)
{
	WfAttemptNote note = {.table = wf_attempt_table(),.endpoint_id = endpoint_id,.n = 1};

	wf_notes_begin();
	note.subtransaction = GetCurrentSubTransactionId();
	strlcpy(note.outcome, outcome, sizeof(note.outcome));
	strlcpy(note.error_class, error_class == NULL ? "" : error_class, sizeof(note.error_class));
	for (int i = n_notes - 1; i >= Max(0, n_notes - LOOK_BACK); i--)
		if (is_same(&notes[i], &note))
		{
			notes[i].n++;
			return;
		}
	if (n_notes == max_notes)
	{
		int			room = Max(16, 2 * max_notes);

		notes = notes == NULL ?
			MemoryContextAlloc(TopTransactionContext, sizeof(WfAttemptNote) * room) :
			repalloc_huge(notes, sizeof(WfAttemptNote) * room);
		max_notes = room;		/* a savepoint may outlive that there is none */
	}
	notes[n_notes++] = note;
}

/*
 * All that is noted for the table as it is now.
 */
const WfAttemptNote *
wf_attempt_notes_take(int *count)
{
	Oid			table = n_notes > 0 ? wf_attempt_table() : InvalidOid;

	*count = 0;
	for (int i = 0; i < n_notes; i++)
		if (notes[i].table == table)
			notes[(*count)++] = notes[i];
	n_notes = 0;

	return notes;
}

void
wf_attempt_notes_forget(void)
{
	notes = NULL;
	n_notes = max_notes = 0;
}

/*
 * The notes of a savepoint are gone, or its parent's.
 */
void
wf_attempt_notes_end(SubTransactionId mine, SubTransactionId parent, bool is_commit)
{
	int			first = n_notes;

	while (first > 0 && notes[first - 1].subtransaction == mine)
		first--;
	if (!is_commit)
		n_notes = first;
	else
		for (int i = first; i < n_notes; i++)
			notes[i].subtransaction = parent;
}
