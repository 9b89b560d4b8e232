/*
 * check_state.c
 *	  States, named activities and "any" of a document.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

#define TO_ORIGIN "@origin"

/* ------------------------------------------------------------------- targets */

static void
check_target(WfCheck *check, JsonbValue *value)
{
	JsonbValue *states = wf_jsonb_value_get(check->root, "states");
	char	   *name = wf_jsonb_value_text(value);
	char	   *nearest;

	if (strcmp(name, TO_ORIGIN) == 0 || strcmp(name, WF_STATE_CANCELLED) == 0 ||
		wf_jsonb_value_get(states, name) != NULL)
		return;
	nearest = wf_check_nearest(check, name, states, TO_ORIGIN);
	wf_check_error(check, "unknown_state",
				   nearest != NULL ? nearest : "add it to \"states\"",
				   "there is no state \"%s\"", name);
}

/*
 * "on": event names with the states they lead to.
 */
static void
check_on(WfCheck *check, JsonbValue *value)
{
	int			count;
	WfMember   *members = wf_jsonb_members(value, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		if (members[i].key[0] == '\0')
			wf_check_error(check, "empty", "give it one", "an event has to have a name");
		wf_check_name_length(check, members[i].key);
		if (wf_check_type(check, &members[i].value, WF_TEXT))
			check_target(check, &members[i].value);
		wf_check_leave(check, mark);
	}
}

static const WfField any_fields[] = {
	{"on", WF_OBJECT, NULL, check_on},
	{NULL}
};

void
wf_check_any(WfCheck *check, JsonbValue *any)
{
	wf_check_object(check, any, any_fields);
}

/* ---------------------------------------------------------------- activities */

static void
check_named(WfCheck *check, JsonbValue *value)
{
	JsonbValue *activities = wf_jsonb_value_get(check->root, "activities");
	char	   *name = wf_jsonb_value_text(value);

	if (wf_jsonb_value_get(activities, name) == NULL)
		wf_check_error(check, "unknown_activity",
					   wf_or_else(wf_check_nearest(check, name, activities, NULL), "describe it under \"activities\""),
					   "there is no activity \"%s\" in \"activities\"", name);
}

static const WfField timeout_fields[] = {
	{"after", WF_TEXT, "say how long after entry", wf_check_interval},
	{"event", WF_TEXT, NULL, NULL},
	{NULL}
};

static void
check_timeout(WfCheck *check, JsonbValue *value)
{
	if (value->type == jbvString)
		wf_check_interval(check, value);
	else
		wf_check_object(check, value, timeout_fields);
}

/* Members of a state that are no activity; the activities are added below. */
static const WfField state_fields[] = {
	{"description", WF_TEXT, NULL, NULL},
	{"activity", WF_TEXT, NULL, check_named},
	{"as", WF_TEXT, NULL, NULL},
	{"on", WF_OBJECT, NULL, check_on},
	{"timeout", WF_TEXT | WF_OBJECT, NULL, check_timeout},
	{"sla", WF_TEXT, NULL, wf_check_interval},
	{"final", WF_TEXT, NULL, wf_check_name},
	{NULL}
};

/* The same of an activity that is named once for several states. */
static const WfField named_fields[] = {
	{"description", WF_TEXT, NULL, NULL},
	{"as", WF_TEXT, NULL, NULL},
	{"timeout", WF_TEXT | WF_OBJECT, NULL, check_timeout},
	{NULL}
};

/*
 * Returns the fields with a field for each kind of activity after them.
 */
static WfField *
with_activities(const WfField *fields)
{
	int			nfields = 0;
	int			nshapes = 0;
	WfField    *all;

	while (fields[nfields].name != NULL)
		nfields++;
	while (wf_activity_shapes[nshapes].name != NULL)
		nshapes++;

	all = palloc0(sizeof(WfField) * (nfields + nshapes + 1));
	memcpy(all, fields, sizeof(WfField) * nfields);
	for (int i = 0; i < nshapes; i++)
	{
		all[nfields + i].name = wf_activity_shapes[i].name;
		all[nfields + i].types = wf_activity_shapes[i].types;
		all[nfields + i].check = wf_activity_shapes[i].check;
	}

	return all;
}

static void
refuse_beside(WfCheck *check, const char *member, const char *what)
{
	int			mark = wf_check_enter(check, member);

	wf_check_error(check, "final_with_exits", "an item ends here: leave it out",
				   "a final state cannot have %s", what);
	wf_check_leave(check, mark);
}

static void
refuse_instant(WfCheck *check, const char *member, const char *activity)
{
	int			mark = wf_check_enter(check, member);

	if (strcmp(member, "as") == 0)
		wf_check_error(check, "stores_nothing", "leave \"as\" out",
					   "a \"%s\" stores nothing", activity);
	else
		wf_check_error(check, "never_waits", psprintf("leave \"%s\" out", member),
					   "a \"%s\" is decided at once", activity);
	wf_check_leave(check, mark);
}

/*
 * Returns how many activities an object has; *list names them.
 */
static int
count_activities(JsonbValue *object, char **list)
{
	StringInfoData names;
	int			count = 0;

	initStringInfo(&names);
	for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
	{
		if (wf_jsonb_value_get(object, shape->name) == NULL)
			continue;
		appendStringInfo(&names, "%s%s", count > 0 ? ", " : "", shape->name);
		count++;
	}
	if (wf_jsonb_value_get(object, "activity") != NULL)
	{
		appendStringInfo(&names, "%sactivity", count > 0 ? ", " : "");
		count++;
	}
	*list = names.data;

	return count;
}

/* -------------------------------------------------------------------- states */

static void
refuse_beside_final(WfCheck *check, JsonbValue *state)
{
	static const char *const refused[] = {"on", "as", "timeout", "sla", "activity"};

	for (int i = 0; i < lengthof(refused); i++)
		if (wf_jsonb_value_get(state, refused[i]) != NULL)
			refuse_beside(check, refused[i], psprintf("\"%s\"", refused[i]));
	for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
		if (wf_jsonb_value_get(state, shape->name) != NULL)
			refuse_beside(check, shape->name, psprintf("an activity (%s)", shape->name));
}

static void
refuse_beside_instant(WfCheck *check, JsonbValue *state)
{
	static const char *const instant[] = {"gate", "validate", "then"};
	static const char *const refused[] = {"as", "timeout", "sla"};

	for (int i = 0; i < lengthof(instant); i++)
		for (int j = 0; j < lengthof(refused) && wf_jsonb_value_get(state, instant[i]) != NULL; j++)
			if (wf_jsonb_value_get(state, refused[j]) != NULL)
				refuse_instant(check, refused[j], instant[i]);
}

static void
check_state(WfCheck *check, const WfMember *member, const WfField *fields)
{
	JsonbValue *state = unconstify(JsonbValue *, &member->value);
	char	   *list;

	if (member->key[0] == '\0' || member->key[0] == '@')
		wf_check_error(check, "bad_name", "choose another name",
					   "the name of a state cannot be empty or begin with \"@\"");
	wf_check_name_length(check, member->key);
	wf_check_object(check, state, fields);
	if (!wf_jsonb_value_is_object(state))
		return;

	if (wf_jsonb_value_get(state, "final") != NULL)
		refuse_beside_final(check, state);
	else if (strcmp(member->key, WF_STATE_CANCELLED) == 0)
		wf_check_error(check, "bad_name", "make it final, or choose another name",
					   "\"" WF_STATE_CANCELLED "\" is the final state of cancelled items");
	else if (count_activities(state, &list) > 1)
		wf_check_error(check, "several_activities", "give each a state of its own",
					   "a state has at most one activity, this one has: %s", list);
	refuse_beside_instant(check, state);
}

void
wf_check_states(WfCheck *check, JsonbValue *states)
{
	WfField    *fields = with_activities(state_fields);
	int			count;
	WfMember   *members = wf_jsonb_members(states, &count);

	if (count == 0)
		wf_check_error(check, "empty", "the least is one that is \"final\"",
					   "has to have at least one state");
	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		CHECK_FOR_INTERRUPTS();
		check->state = members[i].key;
		check_state(check, &members[i], fields);
		check->state = NULL;
		wf_check_leave(check, mark);
	}
}

/*
 * "activities" at the top: each is an object with one activity in it.
 */
void
wf_check_activities(WfCheck *check, JsonbValue *activities)
{
	WfField    *fields = with_activities(named_fields);
	int			count;
	WfMember   *members = wf_jsonb_members(activities, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);
		char	   *list;

		wf_check_object(check, &members[i].value, fields);
		if (wf_jsonb_value_is_object(&members[i].value) &&
			count_activities(&members[i].value, &list) != 1)
			wf_check_error(check, "several_activities", "keep one, or add one",
						   "a named activity has to have exactly one of sql, http, model, task, review, exception, wait, spawn, gate, validate, then");
		refuse_beside_instant(check, &members[i].value);
		wf_check_leave(check, mark);
	}
}
