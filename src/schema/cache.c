/*
 * cache.c
 *	  Compiled schemas of this session, found by their content.
 *
 * A schema is a value: what is compiled never goes out of date.  The least
 * recently used go when there are too many, or they take too much memory.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "schema/schema_internal.h"
#include "utils/memutils.h"

#define MAX_ENTRIES 128
#define MAX_BYTES (8 * 1024 * 1024)

typedef struct Entry
{
	uint64		hash;			/* of the document's bytes */
	WfSchema   *schema;
	uint64		used_at;		/* by the count of uses */
	Size		bytes;
} Entry;

static HTAB *entries = NULL;
static Size total_bytes = 0;
static uint64 uses = 0;

static void
forget(Entry *entry)
{
	MemoryContext context = entry->schema->context;

	total_bytes -= entry->bytes;
	hash_search(entries, &entry->hash, HASH_REMOVE, NULL);
	MemoryContextDelete(context);
}

static void
make_room(void)
{
	while (hash_get_num_entries(entries) >= MAX_ENTRIES ||
		   (total_bytes > MAX_BYTES && hash_get_num_entries(entries) > 0))
	{
		HASH_SEQ_STATUS status;
		Entry	   *entry;
		Entry	   *oldest = NULL;

		hash_seq_init(&status, entries);
		while ((entry = hash_seq_search(&status)) != NULL)
			if (oldest == NULL || entry->used_at < oldest->used_at)
				oldest = entry;
		forget(oldest);
	}
}

/*
 * A schema with faults gives no verdict: it is refused.
 */
static void
require_faultless(const WfSchema *schema)
{
	StringInfoData lines;
	ListCell   *cell;

	if (schema->faults == NIL)
		return;
	initStringInfo(&lines);
	foreach(cell, schema->faults)
	{
		const WfSchemaError *fault = lfirst(cell);

		appendStringInfo(&lines, "%sat \"%s\": %s", lines.len > 0 ? "\n" : "",
						 fault->schema_path, fault->message);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("schema cannot be used: %d %s", list_length(schema->faults),
					list_length(schema->faults) == 1 ? "fault" : "faults"),
			 errdetail_internal("%s", lines.data),
			 errhint("Remove or replace what stands at these paths.")));
}

static WfSchema *
compile(Jsonb *document, uint64 hash)
{
	WfSchema   *schema = wf_schema_compile(document);
	Entry	   *entry;
	bool		found;

	require_faultless(schema);
	make_room();
	entry = hash_search(entries, &hash, HASH_ENTER, &found);
	entry->schema = schema;
	entry->bytes = MemoryContextMemAllocated(schema->context, true);
	total_bytes += entry->bytes;
	MemoryContextSetParent(schema->context, CacheMemoryContext);

	return schema;
}

static bool
is_of(const WfSchema *schema, const Jsonb *document)
{
	return VARSIZE(schema->document) == VARSIZE(document) &&
		memcmp(schema->document, document, VARSIZE(document)) == 0;
}

const WfSchema *
wf_schema_cached(Jsonb *document)
{
	uint64		hash = hash_bytes_extended((unsigned char *) document, VARSIZE(document), 0);
	Entry	   *entry;
	WfSchema   *schema;

	if (entries == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(Entry)};

		entries = hash_create("pg_workflow schemas", MAX_ENTRIES, &control,
							  HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(entries, &hash, HASH_FIND, NULL);
	if (entry != NULL && !is_of(entry->schema, document))
	{
		forget(entry);
		entry = NULL;
	}
	schema = entry == NULL ? compile(document, hash) : entry->schema;
	entry = hash_search(entries, &hash, HASH_FIND, NULL);
	entry->used_at = ++uses;

	return schema;
}
