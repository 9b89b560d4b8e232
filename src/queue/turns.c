/*
 * turns.c
 *	  The line of those who claim from a fair or rated queue; and whose turn was the
 *	  last in a fair one, in shared memory.
 *
 * Claims of such a queue stand in line while they pick, and no longer: what one has
 * picked is locked, and passed over by the next, which goes on behind it.  So they need
 * not wait for each other's commits, and no row gets a new version with each claim.
 * Without the line a small job would overtake a large one for which the rate has no
 * room while it is looked at.
 *
 * The price: the turn of a claim that is rolled back is over, and after a start of the
 * server turns begin anew.  Without shared memory the turn is a column of the queue's row.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/turn.h"
#include "marks.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define SETS 64
#define WAYS 16

/* As long as a tenant may be. */
#define NAME 1000

typedef struct LastTurn
{
	TimestampTz noted_at;		/* 0: not in use */
	WfTrackKey	key;
	char		tenant[NAME + 1];
} LastTurn;

typedef struct TurnSet
{
	LWLock		lock;
	LastTurn	turns[WAYS];
} TurnSet;

typedef struct TurnBlock
{
	int			tranche;
	TurnSet		sets[SETS];
} TurnBlock;

static TurnBlock *block = NULL;

static Size
block_size(void)
{
	return sizeof(TurnBlock);
}

static void
init_block(void *memory)
{
	TurnBlock  *new_block = memory;

	new_block->tranche = LWLockNewTrancheId();
	for (int i = 0; i < SETS; i++)
		LWLockInitialize(&new_block->sets[i].lock, new_block->tranche);
}

/*
 * Called when the library is loaded.
 */
void
wf_turns_init(void)
{
	wf_request_shared_block(block_size);
}

bool
wf_turns_are_kept(void)
{
	if (!wf_marks_attach())
		return false;
	if (block == NULL)
	{
		block = wf_shared_block("pg_workflow turns", block_size(), init_block);
		LWLockRegisterTranche(block->tranche, "pg_workflow turns");
	}

	return true;
}

static WfTrackKey
key_of(const WfClaim *claim)
{
	return wf_track_key(InvalidOid, claim->kind, claim->queue);
}

static TurnSet *
lock_set(const WfTrackKey *key, LWLockMode mode)
{
	TurnSet    *set = &block->sets[key->hash[0] % SETS];

	LWLockAcquire(&set->lock, mode);

	return set;
}

static LastTurn *
find_turn(TurnSet *set, const WfTrackKey *key)
{
	for (int i = 0; i < WAYS; i++)
		if (set->turns[i].noted_at != 0 && wf_track_key_is(&set->turns[i].key, key))
			return &set->turns[i];

	return NULL;
}

/*
 * Reads whose turn was the last, if it is kept here.
 */
void
wf_turns_read(WfClaim *claim)
{
	WfTrackKey	key;
	TurnSet    *set;
	LastTurn   *turn;
	char	   *tenant;

	if (!wf_turns_are_kept())
		return;
	key = key_of(claim);
	tenant = palloc(NAME + 1);
	set = lock_set(&key, LW_SHARED);
	turn = find_turn(set, &key);
	if (turn != NULL)
		strlcpy(tenant, turn->tenant, NAME + 1);
	LWLockRelease(&set->lock);
	if (turn != NULL)
		claim->fair_last = tenant;
}

/*
 * Notes whose turn was the last.  False when it is not kept here.
 */
bool
wf_turns_note(const WfClaim *claim, const char *tenant)
{
	TimestampTz now = GetCurrentTimestamp();
	WfTrackKey	key;
	TurnSet    *set;
	LastTurn   *turn;

	if (!wf_turns_are_kept())
		return false;
	key = key_of(claim);
	set = lock_set(&key, LW_EXCLUSIVE);
	turn = find_turn(set, &key);
	if (turn == NULL)
	{
		turn = &set->turns[0];
		for (int i = 1; i < WAYS; i++)
			if (set->turns[i].noted_at < turn->noted_at)
				turn = &set->turns[i];
		turn->key = key;
	}
	turn->noted_at = now;
	strlcpy(turn->tenant, tenant, NAME + 1);
	LWLockRelease(&set->lock);

	return true;
}

/* ----------------------------------------------------------------------- the line */

/*
 * Stands in line for the queue, and reads whose turn was the last.
 */
void
wf_line_begin(WfClaim *claim)
{
	WfTrackKey	key;

	if (claim->stands_in_line)
	{
		key = key_of(claim);
		wf_await_turn(WF_TURN_PICK, (uint32) key.hash[0], (uint32) key.hash[1]);
	}
	if (claim->is_fair)
		wf_turns_read(claim);
}

void
wf_line_end(const WfClaim *claim)
{
	WfTrackKey	key;

	if (!claim->stands_in_line)
		return;
	key = key_of(claim);
	wf_end_turn(WF_TURN_PICK, (uint32) key.hash[0], (uint32) key.hash[1]);
}
