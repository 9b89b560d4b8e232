/*
 * compat.h
 *	  Differences between server versions 15 to 18, behind names of our own.
 *
 * The only file that looks at PG_VERSION_NUM.
 */
#ifndef WF_BASE_COMPAT_H
#define WF_BASE_COMPAT_H

#include "access/tableam.h"
#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/proc.h"
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#else
#include "storage/relfilenode.h"
#endif
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#include "utils/resowner.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "storage/waiteventset.h"
#else
#include "commands/explain.h"
#endif

/* Says in front of a prototype that the function does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/*
 * Memory that a check hook hands over to the server as its "extra"; NULL when
 * there is none left.
 */
static inline void *
wf_setting_malloc(Size size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

static inline void
wf_setting_free(void *memory)
{
#if PG_VERSION_NUM >= 160000
	guc_free(memory);
#else
	free(memory);
#endif
}

/* Wait event of a worker or a claim with nothing to do. */
static inline uint32
wf_wait_event(const char *name, uint32 *cached)
{
#if PG_VERSION_NUM >= 170000
	if (*cached == 0)
		*cached = WaitEventExtensionNew(name);
	return *cached;
#else
	(void) name;
	(void) cached;
	return PG_WAIT_EXTENSION;
#endif
}

static inline WaitEventSet *
wf_create_wait_event_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* Index of this process in ProcGlobal->allProcs. */
static inline int
wf_my_proc_number(void)
{
#if PG_VERSION_NUM >= 170000
	return GetNumberFromPGProc(MyProc);
#else
	return MyProc->pgprocno;
#endif
}

/* Which file a relation is in: another one after it was rewritten. */
#if PG_VERSION_NUM >= 160000
#define wf_relation_file(relation) ((relation)->rd_locator.relNumber)
#else
#define wf_relation_file(relation) ((relation)->rd_node.relNode)
#endif

/* Where that file is. */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator WfPlace;
#define wf_relation_place(relation) ((relation)->rd_locator)
#define wf_same_place(a, b) RelFileLocatorEquals(*(a), *(b))
#define wf_first_file_of_transaction(relation) ((relation)->rd_firstRelfilelocatorSubid)
#else
typedef RelFileNode WfPlace;
#define wf_relation_place(relation) ((relation)->rd_node)
#define wf_same_place(a, b) RelFileNodeEquals(*(a), *(b))
#define wf_first_file_of_transaction(relation) ((relation)->rd_firstRelfilenodeSubid)
#endif

/* Whether the present transaction has made the relation, or given it another file. */
#define wf_is_of_this_transaction(relation) \
	((relation)->rd_createSubid != InvalidSubTransactionId || \
	 wf_first_file_of_transaction(relation) != InvalidSubTransactionId)

/* Which indexes have to take in the new row after an update. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes WfUpdateIndexes;
#define wf_needs_index_entries(indexes) ((indexes) != TU_None)
#else
typedef bool WfUpdateIndexes;
#define wf_needs_index_entries(indexes) (indexes)
#endif

/* Enters a row that was inserted into the indexes of its table. */
#define wf_insert_index_tuples(result, row, estate) \
	WF_INSERT_INDEX_TUPLES(result, row, estate)
#if PG_VERSION_NUM >= 160000
#define WF_INSERT_INDEX_TUPLES(result, row, estate) \
	list_free(ExecInsertIndexTuples(result, row, estate, false, false, NULL, NIL, false))
#else
#define WF_INSERT_INDEX_TUPLES(result, row, estate) \
	list_free(ExecInsertIndexTuples(result, row, estate, false, false, NULL, NIL))
#endif

/* Whether there are columns that the executor computes, or checks as computed. */
#if PG_VERSION_NUM >= 180000
#define wf_has_computed_columns(constraints) \
	((constraints)->has_generated_stored || (constraints)->has_generated_virtual)
#else
#define wf_has_computed_columns(constraints) ((constraints)->has_generated_stored)
#endif

#if PG_VERSION_NUM >= 180000
#define wf_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define wf_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* Whether a role may call a function. */
#if PG_VERSION_NUM >= 160000
#define wf_function_aclcheck(function, role) \
	object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE)
#else
#define wf_function_aclcheck(function, role) pg_proc_aclcheck(function, role, ACL_EXECUTE)
#endif

/* The parts of a possibly qualified name. */
static inline struct List *
wf_parse_qualified_name(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/*
 * Returns a zeroed block of shared memory of that name, which all processes
 * share, whether or not the library is preloaded.  The first caller
 * initialises it with init().
 */
extern void *wf_shared_block(const char *name, Size size, void (*init) (void *block));

/*
 * The same for a large block; NULL when the server has no room for it.
 */
extern void *wf_shared_block_if_room(const char *name, Size size, void (*init) (void *block));

/*
 * Asks for room for one such block, if the library is being preloaded by a
 * server that hands out shared memory only at its start.  To be called while
 * the library is loaded; size() is called when MaxBackends is known.
 */
extern void wf_request_shared_block(Size (*size) (void));

/*
 * Whether the server asserts a snapshot for each row of a table that might be
 * toasted: one with assertions, from 18 on, and in later minor versions of older ones.
 */
#ifdef USE_ASSERT_CHECKING
#define wf_server_asserts_snapshot(table) OidIsValid((table)->rd_rel->reltoastrelid)
#else
#define wf_server_asserts_snapshot(table) false
#endif

/*
 * When the process of that number started, as far as the present transaction's
 * copy of the server's statistics says; 0: it knows of none.
 */
extern TimestampTz wf_process_start(int pid);

/*
 * The numbers of all background workers that are up, of whichever extension, palloc'd;
 * returns how many.
 */
extern int	wf_background_workers(int **pids);

#endif							/* WF_BASE_COMPAT_H */
