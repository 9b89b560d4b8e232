/*
 * objects.c
 *	  Keywords about objects and their members.
 *
 * properties, patternProperties and additionalProperties are one rule, as the
 * last depends on the others.  Members of a jsonb object come in a fixed order, and
 * so do those of the schema, so that both are walked side by side.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "schema/schema_internal.h"

typedef struct Entry
{
	const char *text;
	int			length;
	WfNode	   *node;			/* or NULL */
	struct Entries *names;		/* or NULL */
} Entry;

typedef struct Entries
{
	int			count;
	Entry	   *names;
} Entries;

typedef struct PatternProperty
{
	text	   *pattern;
	WfNode	   *node;
} PatternProperty;

typedef struct Members
{
	Entries		properties;
	int			n_patterns;
	PatternProperty *patterns;
	WfNode	   *additional;		/* or NULL */
	WfRule		additional_rule;	/* for its refusals */
} Members;

/* ---------------------------------------------------------------- what objects have */

static JsonbContainer *
object_of(const WfInstance *instance)
{
	return instance->value->val.binary.data;
}

static bool
has_member(const WfInstance *instance, const Entry *name)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(object_of(instance), name->text, name->length, &value) != NULL;
}

/* ------------------------------------------------------------------ required */

/*
 * Reads an array of names; NULL, and a fault, when it is none.
 */
static Entries *
read_names(WfCompile *compile, JsonbValue *value)
{
	Entries    *names = palloc0(sizeof(Entries));
	JsonbValue *elements = wf_jsonb_elements(value, &names->count);
	bool		is_sound = wf_jsonb_value_is_array(value);

	names->names = palloc0(sizeof(Entry) * Max(names->count, 1));
	for (int i = 0; i < names->count && is_sound; i++)
	{
		is_sound = elements[i].type == jbvString;
		if (!is_sound)
			break;
		names->names[i].text = wf_jsonb_value_text(&elements[i]);
		names->names[i].length = elements[i].val.string.len;
	}
	if (!is_sound)
		wf_compile_fault(compile, "has to be an array of strings");

	return is_sound ? names : NULL;
}

static bool
judge_required(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Entries *names = rule->more;
	bool		is_allowed = true;

	for (int i = 0; i < names->count; i++)
	{
		if (has_member(instance, &names->names[i]))
			continue;
		is_allowed = wf_judge_refuse(judge, rule, instance, "\"%s\" is missing",
									 names->names[i].text);
		if (!judge->wants_errors)
			break;
	}

	return is_allowed;
}

void
wf_compile_required(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Entries    *names = read_names(compile, value);

	if (names != NULL)
		wf_compile_rule(compile, node, WF_JSON_OBJECT, judge_required)->more = names;
}

/* ---------------------------------------------------------- what depends on a member */

static bool
judge_dependent_names(WfJudge *judge, const WfRule *rule, const WfInstance *instance,
					  const Entry *given)
{
	bool		is_allowed = true;

	for (int i = 0; i < given->names->count; i++)
		if (!has_member(instance, &given->names->names[i]))
			is_allowed = wf_judge_refuse(judge, rule, instance,
										 "\"%s\" is missing, which \"%s\" asks for",
										 given->names->names[i].text, given->text);

	return is_allowed;
}

static bool
judge_dependent(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Entries *names = rule->more;
	bool		is_allowed = true;

	for (int i = 0; i < names->count && (is_allowed || judge->wants_errors); i++)
	{
		const Entry *name = &names->names[i];

		if (!has_member(instance, name))
			continue;
		if (name->node != NULL)
			is_allowed &= wf_judge_node(judge, name->node, instance);
		if (name->names != NULL)
			is_allowed &= judge_dependent_names(judge, rule, instance, name);
	}

	return is_allowed;
}

/*
 * Reads an object of schemas, or of names where arrays may stand.
 */
static Entries *
read_map(WfCompile *compile, JsonbValue *value, bool has_schemas, bool has_names)
{
	Entries    *names = palloc0(sizeof(Entries));
	WfMember   *members = wf_jsonb_members(value, &names->count);

	if (!wf_jsonb_value_is_object(value))
		wf_compile_fault(compile, "has to be an object");
	names->names = palloc0(sizeof(Entry) * Max(names->count, 1));
	for (int i = 0; i < names->count; i++)
	{
		Entry	   *name = &names->names[i];
		int			mark;

		name->text = members[i].key;
		name->length = strlen(name->text);
		mark = wf_pointer_descend(&compile->path, name->text, name->length);
		if (has_names && (!has_schemas || wf_jsonb_value_is_array(&members[i].value)))
			name->names = read_names(compile, &members[i].value);
		else
			name->node = wf_compile_node(compile, &members[i].value);
		wf_pointer_leave(&compile->path, mark);
	}

	return names;
}

static void
compile_dependent(WfCompile *compile, WfNode *node, Entries *names)
{
	for (int i = 0; i < names->count; i++)
		if (names->names[i].node != NULL)
			node->in_place = lappend(node->in_place, names->names[i].node);
	wf_compile_rule(compile, node, WF_JSON_OBJECT, judge_dependent)->more = names;
}

void
wf_compile_dependent_required(WfCompile *compile, WfNode *node, JsonbValue *schema,
							  JsonbValue *value)
{
	compile_dependent(compile, node, read_map(compile, value, false, true));
}

void
wf_compile_dependent_schemas(WfCompile *compile, WfNode *node, JsonbValue *schema,
							 JsonbValue *value)
{
	compile_dependent(compile, node, read_map(compile, value, true, false));
}

void
wf_compile_dependencies(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	compile_dependent(compile, node, read_map(compile, value, true, true));
}

/* ------------------------------------------------------------------- members */

static int
compare_key(const JsonbValue *key, const Entry *name)
{
	if (key->val.string.len != name->length)
		return key->val.string.len < name->length ? -1 : 1;

	return memcmp(key->val.string.val, name->text, name->length);
}

/*
 * A member that no other keyword is about.
 */
static bool
judge_additional(WfJudge *judge, const WfNode *node, const WfRule *rule,
				 const WfInstance *instance, const JsonbValue *value, const WfPlace *place)
{
	WfInstance	member = {.value = value,.type = instance->type,.place = place};

	if (!node->is_false)
		return wf_judge_inner(judge, node, value, place);

	return wf_judge_refuse(judge, rule, &member, "\"%.*s\" is not allowed",
						   place->key_length, place->key);
}

static bool
judge_member(WfJudge *judge, const Members *members, const WfInstance *instance,
			 const Entry *property, const JsonbValue *value, const WfPlace *place, bool *is_seen)
{
	bool		is_allowed = true;

	*is_seen = property != NULL;
	if (property != NULL)
		is_allowed = wf_judge_inner(judge, property->node, value, place);
	for (int i = 0; i < members->n_patterns && (is_allowed || judge->wants_errors); i++)
	{
		if (!wf_pattern_matches(members->patterns[i].pattern, place->key, place->key_length))
			continue;
		*is_seen = true;
		is_allowed &= wf_judge_inner(judge, members->patterns[i].node, value, place);
	}
	if (!*is_seen && members->additional != NULL)
	{
		*is_seen = true;
		is_allowed &= judge_additional(judge, members->additional, &members->additional_rule,
									   instance, value, place);
	}

	return is_allowed;
}

static bool
judge_members(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	const Members *members = rule->more;
	WfWalk		walk;
	int			next = 0;		/* property */
	bool		is_allowed = true;

	wf_walk_begin(&walk, instance);
	while ((is_allowed || judge->wants_errors) && wf_walk_next(&walk))
	{
		const Entry *property = NULL;
		bool		is_seen;

		while (next < members->properties.count &&
			   compare_key(&walk.key, &members->properties.names[next]) > 0)
			next++;
		if (next < members->properties.count &&
			compare_key(&walk.key, &members->properties.names[next]) == 0)
			property = &members->properties.names[next];
		is_allowed &= judge_member(judge, members, instance, property, &walk.value, &walk.place,
								   &is_seen);
		if (is_seen && instance->seen != NULL)
			instance->seen->marks[walk.index] = true;
	}

	return is_allowed;
}

/*
 * What the keywords share; the first of them makes the rule.
 */
static Members *
members_of(WfCompile *compile, WfNode *node)
{
	if (node->members == NULL)
	{
		node->members = palloc0(sizeof(Members));
		wf_compile_rule(compile, node, WF_JSON_OBJECT, judge_members)->more = node->members;
	}

	return node->members;
}

void
wf_compile_properties(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	Members    *members = members_of(compile, node);
	Entries    *names = read_map(compile, value, true, false);

	members->properties = *names;
}

void
wf_compile_pattern_properties(WfCompile *compile, WfNode *node, JsonbValue *schema,
							  JsonbValue *value)
{
	Members    *members = members_of(compile, node);
	Entries    *names = read_map(compile, value, true, false);

	members->patterns = palloc0(sizeof(PatternProperty) * Max(names->count, 1));
	for (int i = 0; i < names->count; i++)
	{
		PatternProperty *pattern = &members->patterns[members->n_patterns];
		const Entry *name = &names->names[i];
		int			mark = wf_pointer_descend(&compile->path, name->text, name->length);
		char	   *problem;

		pattern->node = name->node;
		pattern->pattern = wf_pattern_compile(name->text, &problem);
		if (pattern->pattern == NULL)
			wf_compile_fault(compile, "%s", problem);
		else
			members->n_patterns++;
		wf_pointer_leave(&compile->path, mark);
	}
}

void
wf_compile_additional_properties(WfCompile *compile, WfNode *node, JsonbValue *schema,
								 JsonbValue *value)
{
	Members    *members = members_of(compile, node);

	members->additional = wf_compile_node(compile, value);
	members->additional_rule = (WfRule)
	{
		.keyword = compile->keyword,.path = members->additional->path
	};
}

/* ------------------------------------------------------- names, and what is left */

static bool
judge_property_names(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	WfWalk		walk;
	bool		is_allowed = true;

	wf_walk_begin(&walk, instance);
	while ((is_allowed || judge->wants_errors) && wf_walk_next(&walk))
		is_allowed &= wf_judge_inner(judge, rule->node, &walk.key, &walk.place);

	return is_allowed;
}

void
wf_compile_property_names(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	WfNode	   *names = wf_compile_node(compile, value);

	wf_compile_rule(compile, node, WF_JSON_OBJECT, judge_property_names)->node = names;
}

static bool
judge_unevaluated_properties(WfJudge *judge, const WfRule *rule, const WfInstance *instance)
{
	WfWalk		walk;
	bool		is_allowed = true;

	wf_walk_begin(&walk, instance);
	while ((is_allowed || judge->wants_errors) && wf_walk_next(&walk))
	{
		if (!instance->seen->marks[walk.index])
			is_allowed &= judge_additional(judge, rule->node, rule, instance, &walk.value,
										   &walk.place);
		instance->seen->marks[walk.index] = true;
	}

	return is_allowed;
}

void
wf_compile_unevaluated_properties(WfCompile *compile, WfNode *node, JsonbValue *schema,
								  JsonbValue *value)
{
	WfNode	   *rest = wf_compile_node(compile, value);

	node->asks_seen = true;
	wf_compile_rule(compile, node, WF_JSON_OBJECT, judge_unevaluated_properties)->node = rest;
}
