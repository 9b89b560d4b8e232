/*
 * turn.c
 *	  Turns: what one transaction does at a time.
 */
#include "postgres.h"

#include "base/turn.h"
#include "miscadmin.h"
#include "storage/lock.h"

bool
wf_try_turn(WfTurn turn, uint32 of, uint32 part)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, of, part, turn);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}
