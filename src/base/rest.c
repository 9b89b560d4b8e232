/*
 * rest.c
 *	  Databases that have no maintenance worker for now, and when they want one.
 *
 * Where processes are few a maintenance worker ends though its database lives
 * on.  It leaves an entry here, first, and looks for work once more after that:
 * whoever wakes it meanwhile or later finds the entry, marks it, and wakes the
 * launcher, which starts a worker again.  A mark is made once: until the worker
 * is there further commits only read it.
 *
 * The entries are few, and databases may be many.  Those that find no entry are
 * woken all together: the launcher knows which they are.
 */
#include "postgres.h"

#include "base/rest.h"
#include "base/wake.h"
#include "base/wake_internal.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

static WfRest *
find(WakeBlock *block, Oid database)
{
	for (int i = 0; i < MAX_RESTS; i++)
		if (block->rests[i].database == database)
			return &block->rests[i];

	return NULL;
}

/*
 * The entry of a database, made if need be; NULL when there is no room.
 */
static WfRest *
find_or_make(WakeBlock *block, Oid database)
{
	WfRest	   *rest = find(block, database);

	if (rest != NULL)
		return rest;
	rest = find(block, InvalidOid);
	if (rest == NULL)
	{
		pg_atomic_write_u32(&block->rests_overflow, 1);
		return NULL;
	}
	memset(rest, 0, sizeof(*rest));
	rest->database = database;
	rest->since = GetCurrentTimestamp();
	rest->due = DT_NOEND;
	rest->news_until = DT_NOEND;
	pg_atomic_fetch_add_u32(&block->nrests, 1);

	return rest;
}

void
wf_rest_begin(void)
{
	WakeBlock  *block = wf_wake_block();

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	(void) find_or_make(block, MyDatabaseId);
	LWLockRelease(&block->lock);
	wf_wake_unlisten();
}

/*
 * The database has work at that time, or earlier.
 */
void
wf_rest_until(Oid database, TimestampTz due)
{
	WakeBlock  *block = wf_wake_block();
	WfRest	   *rest;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	rest = find(block, database);
	if (rest != NULL)
		rest->due = Min(rest->due, due);
	LWLockRelease(&block->lock);
}

static void
end(WakeBlock *block, WfRest *rest)
{
	rest->database = InvalidOid;
	pg_atomic_fetch_sub_u32(&block->nrests, 1);
}

void
wf_rest_end(Oid database)
{
	WakeBlock  *block = wf_wake_block();
	WfRest	   *rest;

	if (!OidIsValid(database) || pg_atomic_read_u32(&block->nrests) == 0)
		return;
	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	rest = find(block, database);
	if (rest != NULL)
		end(block, rest);
	LWLockRelease(&block->lock);
}

void
wf_rest_end_all(void)
{
	WakeBlock  *block = wf_wake_block();

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_RESTS; i++)
		if (OidIsValid(block->rests[i].database))
			end(block, &block->rests[i]);
	pg_atomic_write_u32(&block->rests_overflow, 0);
	LWLockRelease(&block->lock);
}

/*
 * The database waits for a worker, since then.
 */
void
wf_rest_want(Oid database, TimestampTz since)
{
	WakeBlock  *block = wf_wake_block();
	WfRest	   *rest;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	rest = find_or_make(block, database);
	if (rest != NULL)
		rest->wanted_at = since;
	LWLockRelease(&block->lock);
}

/*
 * Copies all entries into the current memory context; returns how many.
 */
int
wf_rest_list(WfRest **rests)
{
	WakeBlock  *block = wf_wake_block();
	int			n = 0;

	*rests = NULL;
	if (pg_atomic_read_u32(&block->nrests) == 0)
		return 0;
	*rests = palloc(sizeof(WfRest) * MAX_RESTS);
	LWLockAcquire(&block->lock, LW_SHARED);
	for (int i = 0; i < MAX_RESTS; i++)
		if (OidIsValid(block->rests[i].database))
			(*rests)[n++] = block->rests[i];
	LWLockRelease(&block->lock);

	return n;
}

bool
wf_rest_look(Oid database, WfRest *rest)
{
	WakeBlock  *block = wf_wake_block();
	WfRest	   *found;

	if (!OidIsValid(database) || pg_atomic_read_u32(&block->nrests) == 0)
		return false;
	LWLockAcquire(&block->lock, LW_SHARED);
	found = find(block, database);
	if (found != NULL && rest != NULL)
		*rest = *found;
	LWLockRelease(&block->lock);

	return found != NULL;
}

/*
 * Whether a database without an entry was woken since the last call.
 */
bool
wf_rest_take_unlisted(void)
{
	return pg_atomic_exchange_u32(&wf_wake_block()->rests_unlisted, 0) != 0;
}

/*
 * Of the databases that found no room one is woken, if there are any; tells whether
 * the launcher does not know yet.
 */
static bool
wake_unlisted(WakeBlock *block)
{
	return pg_atomic_read_u32(&block->rests_overflow) != 0 &&
		pg_atomic_exchange_u32(&block->rests_unlisted, 1) == 0;
}

/*
 * Marks the entry of this database: its worker is to look.  Called at the end of
 * transactions: neither allocates nor raises.  *is_news: the launcher does not
 * know yet.  Returns false when there is no entry.
 */
bool
wf_rest_wake(WakeBlock *block, bool *is_news)
{
	WfRest	   *rest;

	*is_news = false;
	/* who has stopped listening has made an entry before */
	pg_read_barrier();
	if (!OidIsValid(MyDatabaseId) || pg_atomic_read_u32(&block->nrests) == 0)
		return false;

	LWLockAcquire(&block->lock, LW_SHARED);
	rest = find(block, MyDatabaseId);
	if (rest != NULL && !rest->is_woken)
		*is_news = rest->is_woken = true;	/* two may say so at once: no harm */
	LWLockRelease(&block->lock);

	if (rest == NULL)
		*is_news = wake_unlisted(block);

	return rest != NULL || *is_news;
}

/*
 * The same for something that its worker has to see at that time.  Returns
 * whether the launcher is to know.
 */
bool
wf_rest_wake_by(WakeBlock *block, TimestampTz due)
{
	WfRest		rest;

	pg_read_barrier();
	if (!wf_rest_look(MyDatabaseId, &rest))
		return pg_atomic_read_u32(&block->rests_overflow) != 0 &&
			!wf_wake_anyone_listens(WF_WAKE_MAINTENANCE, MyDatabaseId) && wake_unlisted(block);
	if (rest.is_woken || rest.due <= due)
		return false;
	wf_rest_until(MyDatabaseId, due);

	return true;
}

void
wf_rest_news_until(Oid database, TimestampTz until)
{
	WakeBlock  *block = wf_wake_block();
	WfRest	   *rest;

	LWLockAcquire(&block->lock, LW_EXCLUSIVE);
	rest = find(block, database);
	if (rest != NULL)
		rest->news_until = until;
	LWLockRelease(&block->lock);
}

/*
 * The same for work that was committed at that time, where it is news.
 */
bool
wf_rest_wake_for_news(WakeBlock *block, TimestampTz at)
{
	WfRest		rest;
	bool		is_news;

	if (!wf_rest_look(MyDatabaseId, &rest) || rest.is_woken || rest.news_until <= at)
		return false;
	(void) wf_rest_wake(block, &is_news);

	return is_news;
}
