/*
 * duplicate.c
 *	  Keys that an object of a document has twice.
 *
 * jsonb keeps the last of them silently; a document that says something twice
 * is refused instead.  The text is valid JSON already (the type json saw to
 * that), so this walk only follows its brackets and strings.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "common/hashfn.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

static const char *walk(WfCheck *check, const char *p);

static const char *
skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;

	return p;
}

static const char *
skip_string(const char *p)
{
	for (p++; *p != '"'; p++)
		if (*p == '\\')
			p++;

	return p + 1;
}

/*
 * Returns the string that begins at p, without quotes and escapes: "\u0061"
 * and "a" are the same key.
 */
static char *
read_string(const char *p, const char **end)
{
	char	   *quoted;

	*end = skip_string(p);
	quoted = pnstrdup(p, *end - p);
	if (strchr(quoted, '\\') != NULL)
		return wf_jsonb_value_text(wf_jsonb_root(wf_jsonb_from_cstring(quoted)));

	return pnstrdup(p + 1, *end - p - 2);
}

/* Keys of one object that have been read: a table with room for half as many. */
typedef struct Keys
{
	const char **slots;			/* NULL: free */
	uint32		size;			/* a power of two, or 0 */
	uint32		count;
} Keys;

/*
 * Finds the slot of a key, or the free one that it would have.
 */
static const char **
find_slot(const Keys *keys, const char *key)
{
	uint32		i = hash_bytes((const unsigned char *) key, strlen(key)) & (keys->size - 1);

	while (keys->slots[i] != NULL && strcmp(keys->slots[i], key) != 0)
		i = (i + 1) & (keys->size - 1);

	return &keys->slots[i];
}

static void
make_room(Keys *keys)
{
	Keys		larger = {NULL, Max(16, keys->size * 2), keys->count};

	if (keys->count * 2 < keys->size)
		return;
	larger.slots = palloc0(sizeof(char *) * larger.size);
	for (uint32 i = 0; i < keys->size; i++)
		if (keys->slots[i] != NULL)
			*find_slot(&larger, keys->slots[i]) = keys->slots[i];
	if (keys->slots != NULL)
		pfree(keys->slots);
	*keys = larger;
}

/*
 * Notes a key; returns whether it was there already.
 */
static bool
note_key(Keys *keys, const char *key)
{
	const char **slot;

	make_room(keys);
	slot = find_slot(keys, key);
	if (*slot != NULL)
		return true;
	*slot = key;
	keys->count++;

	return false;
}

static const char *
walk_object(WfCheck *check, const char *p)
{
	Keys		keys = {0};

	for (p = skip_space(p + 1); *p != '}'; p = skip_space(p))
	{
		char	   *key;
		int			mark;

		if (*p == ',')
			p = skip_space(p + 1);
		key = read_string(p, &p);
		mark = wf_check_enter(check, key);
		if (note_key(&keys, key))
			wf_check_error(check, "duplicate_key", "keep one of them",
						   "the key stands here twice");
		p = walk(check, skip_space(p) + 1);
		wf_check_leave(check, mark);
	}

	return p + 1;
}

static const char *
walk_array(WfCheck *check, const char *p)
{
	int			index = 0;

	for (p = skip_space(p + 1); *p != ']'; p = skip_space(p))
	{
		int			mark;

		if (*p == ',')
			p++;
		mark = wf_check_enter_element(check, index++);
		p = walk(check, p);
		wf_check_leave(check, mark);
	}

	return p + 1;
}

/*
 * Walks over the value that begins at or after p; returns what follows it.
 */
static const char *
walk(WfCheck *check, const char *p)
{
	check_stack_depth();
	p = skip_space(p);
	if (*p == '{')
		return walk_object(check, p);
	if (*p == '[')
		return walk_array(check, p);
	if (*p == '"')
		return skip_string(p);
	while (*p != '\0' && strchr(",]} \t\r\n", *p) == NULL)
		p++;

	return p;
}

void
wf_check_duplicate_keys(WfCheck *check, const char *json)
{
	(void) walk(check, json);
}
