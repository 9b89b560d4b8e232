/*
 * jsonb.c
 *	  Reading and building jsonb values.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

JsonbValue *
wf_jsonb_get(Jsonb *object, const char *key)
{
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;

	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), NULL);
}

/*
 * The same of a value found inside another one.
 */
JsonbValue *
wf_jsonb_value_get(JsonbValue *object, const char *key)
{
	if (object == NULL || object->type != jbvBinary ||
		!JsonContainerIsObject(object->val.binary.data))
		return NULL;

	return getKeyJsonValueFromContainer(object->val.binary.data,
										key, strlen(key), NULL);
}

/*
 * Returns a string as it is, another value as JSON text, and NULL for null.
 */
char *
wf_jsonb_value_text(JsonbValue *value)
{
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);

	return wf_jsonb_to_cstring(JsonbValueToJsonb(value));
}

char *
wf_jsonb_get_text(Jsonb *object, const char *key)
{
	return wf_jsonb_value_text(wf_jsonb_get(object, key));
}

Jsonb *
wf_jsonb_get_jsonb(Jsonb *object, const char *key)
{
	JsonbValue *value = wf_jsonb_get(object, key);

	return value == NULL ? NULL : JsonbValueToJsonb(value);
}

bool
wf_jsonb_get_bool(Jsonb *object, const char *key, bool otherwise)
{
	JsonbValue *value = wf_jsonb_get(object, key);

	return value != NULL && value->type == jbvBool ? value->val.boolean : otherwise;
}

int
wf_jsonb_get_int(Jsonb *object, const char *key, int otherwise)
{
	JsonbValue *value = wf_jsonb_get(object, key);

	if (value == NULL || value->type != jbvNumeric)
		return otherwise;

	return DatumGetInt32(DirectFunctionCall1(numeric_int4,
											 NumericGetDatum(value->val.numeric)));
}

Jsonb *
wf_jsonb_from_cstring(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

char *
wf_jsonb_to_cstring(Jsonb *value)
{
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}

Jsonb *
wf_jsonb_from_text(const char *string)
{
	JsonbValue	value;

	if (string == NULL)
		value.type = jbvNull;
	else
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, string);
		value.val.string.len = strlen(string);
	}

	return JsonbValueToJsonb(&value);
}

Jsonb *
wf_jsonb_empty_object(void)
{
	return wf_jsonb_object(NULL, 0);
}

bool
wf_jsonb_is_object(Jsonb *value)
{
	return value != NULL && JB_ROOT_IS_OBJECT(value);
}

Jsonb *
wf_jsonb_merge(Jsonb *left, Jsonb *right)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											  JsonbPGetDatum(left),
											  JsonbPGetDatum(right)));
}

Jsonb *
wf_jsonb_object(const WfMember *members, int count)
{
	JsonbParseState *state = NULL;
	JsonbValue *object;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		JsonbValue	key = {.type = jbvString};
		JsonbValue	value = members[i].value;

		key.val.string.val = unconstify(char *, members[i].key);
		key.val.string.len = strlen(members[i].key);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);

	return JsonbValueToJsonb(object);
}

static Jsonb *
pair(const char *key, Jsonb *value)
{
	WfMember	member = {.key = key,.value.type = jbvNull};

	if (value != NULL)
		member.value = *wf_jsonb_root(value);

	return wf_jsonb_object(&member, 1);
}

Jsonb *
wf_jsonb_with(Jsonb *object, const char *key, Jsonb *value)
{
	return wf_jsonb_merge(object, pair(key, value));
}

Jsonb *
wf_jsonb_without(Jsonb *object, const char *key)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete,
											  JsonbPGetDatum(object),
											  CStringGetTextDatum(key)));
}

/*
 * Returns a whole document as a value; what is in it is not copied.
 */
JsonbValue *
wf_jsonb_root(Jsonb *document)
{
	JsonbValue *root = palloc0(sizeof(JsonbValue));

	if (JB_ROOT_IS_SCALAR(document))
	{
		(void) JsonbExtractScalar(&document->root, root);
		return root;
	}
	root->type = jbvBinary;
	root->val.binary.data = &document->root;
	root->val.binary.len = VARSIZE(document) - VARHDRSZ;

	return root;
}

bool
wf_jsonb_value_is_object(const JsonbValue *value)
{
	return value != NULL && value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data);
}

bool
wf_jsonb_value_is_array(const JsonbValue *value)
{
	return value != NULL && value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data);
}

/*
 * Returns the members of an object in the order of jsonb: by length of the
 * key, then bytewise.
 */
WfMember *
wf_jsonb_members(const JsonbValue *object, int *count)
{
	WfMember   *members;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;

	*count = 0;
	if (!wf_jsonb_value_is_object(object))
		return NULL;

	members = palloc(sizeof(WfMember) *
					 Max(1, JsonContainerSize(object->val.binary.data)));
	iterator = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		members[*count].key = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &members[*count].value, true);
		(*count)++;
	}

	return members;
}

JsonbValue *
wf_jsonb_elements(const JsonbValue *array, int *count)
{
	JsonbValue *elements;

	*count = 0;
	if (!wf_jsonb_value_is_array(array))
		return NULL;

	*count = JsonContainerSize(array->val.binary.data);
	elements = palloc(sizeof(JsonbValue) * Max(1, *count));
	for (int i = 0; i < *count; i++)
		elements[i] = *getIthJsonbValueFromContainer(array->val.binary.data, i);

	return elements;
}

bool
wf_jsonb_array_has_text(const JsonbValue *array, const char *text)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(array, &count);

	for (int i = 0; i < count; i++)
		if (elements[i].type == jbvString && strcmp(wf_jsonb_value_text(&elements[i]), text) == 0)
			return true;

	return false;
}
