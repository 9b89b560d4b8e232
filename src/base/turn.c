/*
 * turn.c
 *	  Turns: what one transaction does at a time.
 */
#include "postgres.h"

#include "base/turn.h"
#include "miscadmin.h"
#include "storage/lock.h"

static LOCKTAG
tag_of(WfTurn turn, uint32 of, uint32 part)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, of, part, turn);

	return tag;
}

static bool
take(WfTurn turn, uint32 of, uint32 part, bool waits)
{
	LOCKTAG		tag = tag_of(turn, of, part);

	return LockAcquire(&tag, ExclusiveLock, false, !waits) != LOCKACQUIRE_NOT_AVAIL;
}

bool
wf_try_turn(WfTurn turn, uint32 of, uint32 part)
{
	return take(turn, of, part, false);
}

void
wf_await_turn(WfTurn turn, uint32 of, uint32 part)
{
	(void) take(turn, of, part, true);
}

void
wf_end_turn(WfTurn turn, uint32 of, uint32 part)
{
	LOCKTAG		tag = tag_of(turn, of, part);

	LockRelease(&tag, ExclusiveLock, false);
}
