/*
 * compat.c
 *	  What differs between servers and is too long for a header.
 */
#include "postgres.h"

#include "base/compat.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

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

#else

/*
 * Older servers keep 100 kB of shared memory to spare beyond what was asked
 * for at start; preloaded, wf_shmem_request() has asked for this block.
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

#endif
