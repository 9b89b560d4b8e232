/*
 * note.c
 *	  The moves of the present transaction, summed up.
 *
 * Moves along the same path, in the same minute, of stays of about the same
 * length that began in the same minute, are one note.  A savepoint that is rolled
 * back takes its notes with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "note.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* As many of the last notes are looked at for one to add to. */
#define LOOK_BACK 8

/* Notes of one savepoint are put together when they have become so many. */
#define MANY 1024

/* More paths than so many are forgotten when a transaction ends. */
#define MANY_PATHS 1024
#define BUCKETS 256

static WfPath *buckets[BUCKETS];
static int	n_paths = 0;
static MemoryContext paths_memory = NULL;

/* The notes, in TopTransactionContext when they are not few any more. */
static WfNote few[16];
static WfNote *notes = few;
static int	n_notes = 0;
static int	max_notes = lengthof(few);
static int	sort_at = MANY;

/* ---------------------------------------------------------------------- paths */

static uint32
hash_text(const char *name, uint32 hash)
{
	for (; name != NULL && *name != '\0'; name++)
		hash = (hash ^ (unsigned char) *name) * 16777619;

	return hash * 31 + 1;
}

static uint32
hash_path(const WfStateMove *move)
{
	uint32		hash = hash_text(move->workflow, move->left.version);

	hash = hash_text(move->left.state, hash + move->entered.version);

	return hash_text(move->entered.state, hash);
}

static bool
same_text(const char *left, const char *right)
{
	return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

static bool
is_path_of(const WfPath *path, const WfStateMove *move, uint32 hash, Oid table)
{
	return path->hash == hash && path->table == table &&
		path->from_version == move->left.version && path->version == move->entered.version &&
		strcmp(path->workflow, move->workflow) == 0 &&
		same_text(path->from_state, move->left.state) &&
		strcmp(path->to_state, move->entered.state) == 0 &&
		same_text(path->outcome, move->entered.outcome);
}

static const char *
keep(const char *text, Datum *as_stored)
{
	if (text == NULL)
		return NULL;
	*as_stored = CStringGetTextDatum(text);

	return pstrdup(text);
}

static WfPath *
make_path(const WfStateMove *move, uint32 hash, Oid table)
{
	WfPath	   *path;
	MemoryContext caller;

	if (paths_memory == NULL)
		paths_memory = AllocSetContextCreate(TopMemoryContext, "wf paths of moves",
											 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(paths_memory);
	path = palloc0(sizeof(WfPath));
	path->hash = hash;
	path->table = table;
	path->workflow = keep(move->workflow, &path->texts[0]);
	path->from_version = move->left.version;
	path->from_state = keep(move->left.state, &path->texts[1]);
	path->version = move->entered.version;
	path->to_state = keep(move->entered.state, &path->texts[2]);
	path->outcome = keep(move->entered.outcome, &path->texts[3]);
	MemoryContextSwitchTo(caller);

	return path;
}

static const WfPath *
path_of(const WfStateMove *move)
{
	uint32		hash = hash_path(move);
	Oid			table = wf_delta_table();
	WfPath	  **bucket = &buckets[hash % BUCKETS];
	WfPath	   *path;

	for (path = *bucket; path != NULL; path = path->next)
		if (is_path_of(path, move, hash, table))
			return path;
	path = make_path(move, hash, table);
	path->next = *bucket;
	*bucket = path;
	n_paths++;

	return path;
}

/*
 * Only while there are no notes, which point to them.
 */
static void
forget_paths(void)
{
	memset(buckets, 0, sizeof(buckets));
	n_paths = 0;
	MemoryContextReset(paths_memory);
}

/* ---------------------------------------------------------------------- notes */

static int
compare_notes(const void *left, const void *right)
{
	return memcmp(&((const WfNote *) left)->key, &((const WfNote *) right)->key, sizeof(WfNoteKey));
}

/*
 * Puts notes of the same kind together that stand after a place.
 */
static void
put_together(int first)
{
	int			last = first;

	if (first >= n_notes)
		return;
	qsort(notes + first, n_notes - first, sizeof(WfNote), compare_notes);
	for (int i = first + 1; i < n_notes; i++)
	{
		if (compare_notes(&notes[last], &notes[i]) == 0)
			notes[last].n += notes[i].n;
		else
			notes[++last] = notes[i];
	}
	n_notes = last + 1;
}

static void
enlarge(void)
{
	WfNote	   *larger;

	if (notes != few)
		notes = repalloc_huge(notes, sizeof(WfNote) * 2 * max_notes);
	else
	{
		larger = MemoryContextAlloc(TopTransactionContext, sizeof(WfNote) * 2 * max_notes);
		memcpy(larger, few, sizeof(few));
		notes = larger;
	}
	max_notes *= 2;
}

/*
 * The place from which on all notes are of a savepoint.
 */
static int
first_of(SubTransactionId subtransaction)
{
	int			first = n_notes;

	while (first > 0 && notes[first - 1].subtransaction == subtransaction)
		first--;

	return first;
}

static void
add(const WfNoteKey *key)
{
	SubTransactionId mine = GetCurrentSubTransactionId();
	WfNote	   *note;

	for (int i = n_notes - 1; i >= Max(0, n_notes - LOOK_BACK); i--)
		if (notes[i].subtransaction == mine && memcmp(&notes[i].key, key, sizeof(WfNoteKey)) == 0)
		{
			notes[i].n++;
			return;
		}
	if (n_notes >= sort_at)
	{
		put_together(first_of(mine));
		sort_at = Max(MANY, 2 * n_notes);
	}
	if (n_notes == max_notes)
		enlarge();
	note = &notes[n_notes++];
	note->key = *key;
	note->subtransaction = mine;
	note->n = 1;
}

static int32
minute_of(TimestampTz time)
{
	return (int32) (time / USECS_PER_MINUTE);
}

/*
 * A migration may let a stay go on: then it did not take any time yet.  Who was in
 * a final state was waited for by nobody.
 */
void
wf_statistics_note(const WfStateMove *move)
{
	bool		was_there = move->left.state != NULL;
	bool		goes_on = was_there && move->entered.since == move->left.since &&
	move->entered.version != move->left.version;
	WfNoteKey	key;

	wf_notes_begin();
	memset(&key, 0, sizeof(key));	/* compared as bytes */
	key.path = path_of(move);
	key.minute = minute_of(move->at);
	key.has_left_since = was_there && move->left.outcome == NULL;
	key.left_since = key.has_left_since ? minute_of(move->left.since) : 0;
	key.entered_since = minute_of(move->entered.since);
	key.class = was_there && !goes_on && move->left.outcome == NULL ?
		wf_time_class(move->at - move->left.since) : -1;
	add(&key);
}

/*
 * All that is noted for the table as it is now, as few as they can be.
 */
const WfNote *
wf_notes_take(int *count)
{
	const WfNote *taken = notes;
	Oid			table = wf_delta_table();
	int			n_kept = 0;

	for (int i = 0; i < n_notes; i++)
		if (notes[i].key.path->table == table)
			notes[n_kept++] = notes[i];
	n_notes = n_kept;
	if (n_notes > 1)
		put_together(0);
	*count = n_notes;
	n_notes = 0;

	return taken;
}

bool
wf_notes_any(void)
{
	return n_notes > 0;
}

void
wf_notes_forget(void)
{
	notes = few;
	max_notes = lengthof(few);
	n_notes = 0;
	sort_at = MANY;
	if (n_paths > MANY_PATHS)
		forget_paths();
}

/*
 * The notes of a savepoint are gone, or its parent's.
 */
void
wf_notes_end(SubTransactionId mine, SubTransactionId parent, bool is_commit)
{
	int			first = first_of(mine);

	if (!is_commit)
		n_notes = first;
	else
		for (int i = first; i < n_notes; i++)
			notes[i].subtransaction = parent;
}
