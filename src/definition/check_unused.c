/*
 * check_unused.c
 *	  Activities and policies that a document describes and no state uses.
 *
 * Queues are shared by name, so others may use one that this document does not.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

typedef struct Names
{
	char	  **names;
	int			n;
	int			room;
} Names;

static void
add_name(Names *names, JsonbValue *value)
{
	if (value == NULL || value->type != jbvString)
		return;
	if (names->n == names->room)
	{
		names->room = Max(64, names->room * 2);
		names->names = names->names == NULL ? palloc(sizeof(char *) * names->room) :
			repalloc(names->names, sizeof(char *) * names->room);
	}
	names->names[names->n++] = wf_jsonb_value_text(value);
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *) left, *(char *const *) right);
}

/*
 * Collects what states, or named activities, use.
 */
static void
collect(WfCheck *check, const char *part, Names *activities, Names *policies)
{
	int			count;
	WfMember   *members = wf_jsonb_members(wf_jsonb_value_get(check->root, part), &count);

	for (int i = 0; i < count; i++)
	{
		add_name(activities, wf_jsonb_value_get(&members[i].value, "activity"));
		for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
			add_name(policies, wf_jsonb_value_get(wf_jsonb_value_get(&members[i].value, shape->name), "retry"));
	}
}

/*
 * Says which members of a part of the document are not among the names;
 * "default" is used by all.
 */
static void
note_others(WfCheck *check, const char *part, Names *used)
{
	int			count;
	WfMember   *members = wf_jsonb_members(wf_jsonb_value_get(check->root, part), &count);
	int			mark = wf_check_enter(check, part);

	if (used->n > 1)
		qsort(used->names, used->n, sizeof(char *), compare_names);
	for (int i = 0; i < count; i++)
	{
		int			here = wf_check_enter(check, members[i].key);

		if (strcmp(members[i].key, "default") != 0 &&
			(used->n == 0 ||
			 bsearch(&members[i].key, used->names, used->n, sizeof(char *), compare_names) == NULL))
			wf_check_notice(check, "unused", "leave it out", "no state uses it");
		wf_check_leave(check, here);
	}
	wf_check_leave(check, mark);
}

void
wf_check_unused(WfCheck *check)
{
	Names		activities = {0};
	Names		policies = {0};

	if (wf_check_has_errors(check))
		return;					/* a name that is misspelled is used */
	collect(check, "states", &activities, &policies);
	collect(check, "activities", &activities, &policies);
	note_others(check, "activities", &activities);
	note_others(check, "retry", &policies);
}
