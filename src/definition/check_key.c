/*
 * check_key.c
 *	  Keys: what identifies an item, and an action outside.
 *
 * A key without any selector is the same for all, and one that contains an
 * attempt, a clock or a random number is never the same; either way it
 * identifies nothing.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "definition/template.h"

/* Words of a name, split at "_", that say that the value changes by itself. */
static const char *const volatile_words[] = {
	"attempt", "attempts", "retry", "retries", "try", "tries", "now", "clock",
	"timestamp", "random", "rand", "nonce",
};

/* What happened at a time of ours, when it is followed by "_at". */
static const char *const own_times[] = {
	"sent", "run", "started", "called", "requested", "retried", "processed",
};

static bool
is_among(const char *word, int length, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strlen(words[i]) == length && pg_strncasecmp(word, words[i], length) == 0)
			return true;

	return false;
}

static bool
is_volatile_name(const char *name, int length)
{
	const char *end = name + length;
	int			word;

	for (const char *p = name; p < end; p += word + 1)
	{
		for (word = 0; p + word < end && p[word] != '_';)
			word++;
		if (is_among(p, word, volatile_words, lengthof(volatile_words)))
			return true;
		if (is_among(p, word, own_times, lengthof(own_times)) &&
			end - p == word + 3 && pg_strncasecmp(p + word, "_at", 3) == 0)
			return true;
	}

	return false;
}

static bool
is_name_letter(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z');
}

/*
 * Warns of every member that the selectors of a part name and that looks as if
 * it were another one each time.
 */
static void
check_volatile(WfCheck *check, const char *part)
{
	for (const char *p = part; *p != '\0'; p++)
	{
		int			length = 0;

		if (*p != '.')
			continue;
		if (p[1] == '"')
			p++;
		while (is_name_letter(p[1 + length]))
			length++;
		if (is_volatile_name(p + 1, length))
			wf_check_warning(check, "volatile_key",
							 "use what stays the same when it is tried again",
							 "\"%.*s\" looks as if it were another one each time",
							 length, p + 1);
	}
}

static bool
has_selector(const char *part)
{
	return wf_is_selector(part) || strstr(part, "{$") != NULL;
}

/*
 * Checks the parts; returns whether one of them selects something, or is no
 * text at all.  *literal is the first that does not.
 */
static bool
check_parts(WfCheck *check, JsonbValue *value, char **literal)
{
	int			count = 1;
	JsonbValue *parts = value->type == jbvString ? value : wf_jsonb_elements(value, &count);
	bool		selects = count == 0;

	wf_check_templates(check, value);
	*literal = NULL;
	for (int i = 0; i < count; i++)
	{
		char	   *part = parts[i].type == jbvString ? wf_jsonb_value_text(&parts[i]) : NULL;
		int			mark = check->path.len;

		if (part == NULL || *part == '\0' || has_selector(part))
			selects = true;
		else if (*literal == NULL)
			*literal = part;
		if (value->type != jbvString)
			(void) wf_check_enter_element(check, i);
		if (part != NULL && has_selector(part))
			check_volatile(check, part);
		wf_check_leave(check, mark);
	}

	return selects;
}

static char *
suggest_selector(const char *literal)
{
	for (const char *p = literal; *p != '\0'; p++)
		if (!is_name_letter(*p))
			return "select at least one part: \"$.id\"";

	return psprintf("did you mean \"$.%s\"?", literal);
}

void
wf_check_item_key(WfCheck *check, JsonbValue *value)
{
	char	   *literal;

	if (!check_parts(check, value, &literal))
		wf_check_error(check, "literal_key", suggest_selector(literal),
					   "no part selects anything, so all cases would be one item");
}

/*
 * An action that all items share may be meant; it is done once and for all.
 */
void
wf_check_effect_key(WfCheck *check, JsonbValue *value)
{
	char	   *literal;

	if (!check_parts(check, value, &literal))
		wf_check_warning(check, "literal_key", suggest_selector(literal),
						 "no part selects anything, so the action is done once for all items");
}
