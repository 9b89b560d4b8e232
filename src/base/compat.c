/*
 * compat.c
 *	  What differs between servers and is too long for a header.
 */
#include "postgres.h"

#include "base/compat.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/resowner.h"
#include "utils/backend_status.h"

static LocalPgBackendStatus *
local_entry(int i)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(i);
#else
	return pgstat_fetch_stat_local_beentry(i);
#endif
}

int
wf_background_workers(int **pids)
{
	int			count;
	int			n = 0;

	pgstat_clear_backend_activity_snapshot();
	count = pgstat_fetch_stat_numbackends();
	*pids = palloc(sizeof(int) * (count + 1));
	for (int i = 1; i <= count; i++)
	{
		LocalPgBackendStatus *entry = local_entry(i);

		if (entry != NULL && entry->backendStatus.st_backendType == B_BG_WORKER)
			(*pids)[n++] = entry->backendStatus.st_procpid;
	}
	pgstat_clear_backend_activity_snapshot();

	return n;
}

TimestampTz
wf_process_start(int pid)
{
	int			count = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= count; i++)
	{
		LocalPgBackendStatus *entry = local_entry(i);

		if (entry != NULL && entry->backendStatus.st_procpid == pid)
			return entry->backendStatus.st_proc_start_timestamp;
	}

	return 0;
}

#if PG_VERSION_NUM >= 170000

static void (*current_init) (void *block);
static Size current_size;

static void
init_dsm_segment(void *block)
{
	memset(block, 0, current_size);
	current_init(block);
}

/*
 * Servers from 17 on have a registry of named segments.
 */
void *
wf_shared_block(const char *name, Size size, void (*init) (void *block))
{
	bool		found;

	current_init = init;
	current_size = size;

	return GetNamedDSMSegment(name, size, init_dsm_segment, &found);
}

void
wf_request_shared_block(Size (*size) (void))
{
}

static void *
large_block(const char *name, Size size, void (*init) (void *block))
{
	return wf_shared_block(name, size, init);
}

#else

static shmem_request_hook_type previous_request_hook = NULL;

/* What was asked for while the library was loaded. */
#define MAX_REQUESTS 8
static Size (*requests[MAX_REQUESTS]) (void);
static int	n_requests = 0;

/*
 * Older servers keep 100 kB of shared memory to spare beyond what was asked
 * for at start; preloaded, wf_request_shared_block() has asked for this block.
 */
void *
wf_shared_block(const char *name, Size size, void (*init) (void *block))
{
	bool		found;
	void	   *block;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	block = ShmemInitStruct(name, size, &found);
	if (!found)
	{
		memset(block, 0, size);
		init(block);
	}
	LWLockRelease(AddinShmemInitLock);

	return block;
}

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	for (int i = 0; i < n_requests; i++)
		RequestAddinShmemSpace(requests[i] ());
}

void
wf_request_shared_block(Size (*size) (void))
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	Assert(n_requests < MAX_REQUESTS);
	if (n_requests == 0)
	{
		previous_request_hook = shmem_request_hook;
		shmem_request_hook = request_shared_memory;
	}
	requests[n_requests++] = size;
}

/* Where a large block is that was not asked for at the server's start. */
typedef struct Placement
{
	dsm_handle	handle;			/* DSM_HANDLE_INVALID until it is made */
} Placement;

static void
init_placement(void *block)
{
	((Placement *) block)->handle = DSM_HANDLE_INVALID;
}

static dsm_segment *
attach_or_make(Placement *placement, Size size, void (*init) (void *block))
{
	dsm_segment *segment;

	if (placement->handle != DSM_HANDLE_INVALID)
		return dsm_attach(placement->handle);
	segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (segment == NULL)
		return NULL;
	dsm_pin_segment(segment);
	init(dsm_segment_address(segment));
	placement->handle = dsm_segment_handle(segment);

	return segment;
}

static void *
large_block(const char *name, Size size, void (*init) (void *block))
{
	char	   *placement_name = psprintf("%s, where", name);
	Placement  *placement;
	dsm_segment *segment;

	if (n_requests > 0)
		return wf_shared_block(name, size, init);
	placement = wf_shared_block(placement_name, sizeof(Placement), init_placement);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	segment = attach_or_make(placement, size, init);
	LWLockRelease(AddinShmemInitLock);
	if (segment == NULL)
		return NULL;
	dsm_pin_mapping(segment);

	return dsm_segment_address(segment);
}

#endif

/*
 * A block in dynamic shared memory may fail for lack of room in /dev/shm, by an
 * error that is no concern of the caller's statement.  It belongs to the process,
 * and what an error leaves of it to nobody.
 */
void *
wf_shared_block_if_room(const char *name, Size size, void (*init) (void *block))
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	void	   *volatile block = NULL;

	PG_TRY();
	{
		CurrentResourceOwner = NULL;
		block = large_block(name, size, init);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (LWLockHeldByMe(AddinShmemInitLock))
		{
			HOLD_INTERRUPTS();	/* the error has reset what the release counts
								 * down */
			LWLockRelease(AddinShmemInitLock);
		}
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		ereport(LOG,
				(errmsg("no shared memory for %s: %s", name, error->message)));
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;

	return block;
}
