/*
 * walk.c
 *	  What is in an object or an array, one after the other, with its place.
 */
#include "postgres.h"

#include "schema/schema_internal.h"

/*
 * Begins before the first; the instance is an object or an array.
 */
void
wf_walk_begin(WfWalk *walk, const WfInstance *instance)
{
	JsonbContainer *container = instance->value->val.binary.data;

	walk->iterator = JsonbIteratorInit(container);
	walk->is_object = JsonContainerIsObject(container);
	walk->place = (WfPlace)
	{
		.outer = instance->place
	};
	walk->index = -1;
	(void) JsonbIteratorNext(&walk->iterator, &walk->value, false);
}

/*
 * Goes on to the next; false when there is none.
 */
bool
wf_walk_next(WfWalk *walk)
{
	walk->index++;
	if (!walk->is_object)
	{
		walk->place.index = walk->index;
		return JsonbIteratorNext(&walk->iterator, &walk->value, true) == WJB_ELEM;
	}
	if (JsonbIteratorNext(&walk->iterator, &walk->key, false) != WJB_KEY)
		return false;
	walk->key.type = jbvString;
	walk->place.key = walk->key.val.string.val;
	walk->place.key_length = walk->key.val.string.len;
	(void) JsonbIteratorNext(&walk->iterator, &walk->value, true);

	return true;
}
