/*
 * profile.c
 *	  Options of an endpoint that say how its receiver treats repetitions.
 *
 * Which options belong together, and which contradict each other.  What
 * follows from an unknown outcome can only be declared more careful than it
 * is by itself.
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "effect/ledger.h"
#include "effect/option.h"

/* Only a receiver that knows keys has these. */
static const char *const key_options[] = {
	"key_header", "key_pointer", "key_format", "key_ttl", "in_progress", "mismatch", "mismatch_codes",
	"on_5xx", "replay_marker", "ignored_marker",
};

static const char *const lookup_options[] = {
	"lookup_method", "lookup_found", "lookup_absent", "lookup_settle", "absent_is_proof",
};


/*
 * Returns the value of an option; NULL when it is not there.
 */
const char *
wf_option_value(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}

	return NULL;
}

static void
contradiction(const char *message, const char *why, const char *cure)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("%s", message),
			 errdetail("%s", why),
			 errhint("%s", cure)));
}

/* ------------------------------------------------------------------- values */

static bool
is_known_variable(const char *name)
{
	return strcmp(name, "key") == 0 || strcmp(name, "sent_key") == 0 ||
		strcmp(name, "external_id") == 0;
}

/*
 * Checks the template of a lookup's path.
 */
void
wf_check_lookup_path(const char *name, const char *value)
{
	const char *rest = value;

	if (strcmp(value, "{location}") == 0)
		return;
	if ((*value != '/' && *value != '?') || strpbrk(value, " #\\\r\n\t") != NULL ||
		strstr(value, "/.") != NULL)
		wf_option_refuse(name, value, "a path such as /orders?reference={key}");
	while ((rest = strpbrk(rest, "{}")) != NULL)
	{
		const char *end = strchr(rest, '}');
		char	   *variable;

		if (*rest == '}' || end == NULL)
			wf_option_refuse(name, value, "a path whose { and } are in pairs");
		variable = pnstrdup(rest + 1, end - rest - 1);
		if (*variable == '$')
			wf_option_jsonpath(name, variable);
		else if (!is_known_variable(variable))
			wf_option_refuse(name, value,
							 "a path with {key}, {sent_key}, {external_id} or {$.body...}");
		rest = end + 1;
	}
}

void
wf_check_lookup_method(const char *name, const char *value)
{
	if (strcmp(value, "GET") != 0 && strcmp(value, "HEAD") != 0)
		wf_option_refuse(name, value, "GET or HEAD, which change nothing");
}

void
wf_check_pointer(const char *name, const char *value)
{
	if (*value != '/' || value[1] == '\0' || value[strlen(value) - 1] == '/' ||
		strstr(value, "//") != NULL)
		wf_option_refuse(name, value, "a JSON pointer such as /idempotency_key");
}

/*
 * The name of a header, and after a colon its value where that matters.
 */
void
wf_check_marker(const char *name, const char *value)
{
	size_t		length = strspn(value, "abcdefghijklmnopqrstuvwxyz"
								"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	if (length == 0 || (value[length] != '\0' && value[length] != ':') ||
		strpbrk(value, "\r\n") != NULL)
		wf_option_refuse(name, value, "a header as in Idempotent-Replayed, or with a value after a colon");
}

void
wf_check_accepted(const char *name, const char *value)
{
	if (strcmp(value, "success") != 0 && strcmp(value, "probe") != 0)
		wf_option_refuse(name, value, "one of success, probe");
}

void
wf_check_on_unknown(const char *name, const char *value)
{
	(void) wf_option_on_unknown(value);
}

/* -------------------------------------------------------------------- pairs */

static void
check_key_options(List *options, WfDedup dedup)
{
	if (dedup == WF_DEDUP_KEY)
		return;
	for (int i = 0; i < lengthof(key_options); i++)
		if (wf_option_value(options, key_options[i]) != NULL)
			contradiction(psprintf("option \"%s\" belongs to dedup 'key'", key_options[i]),
						  psprintf("With dedup '%s' no key is sent.", wf_dedup_name(dedup)),
						  psprintf("Say dedup 'key' if the receiver does nothing twice for the same "
								   "key; else leave \"%s\" out.", key_options[i]));
}

static void
check_key_place(List *options)
{
	static const char *const others[] = {"key_header", "key_format"};

	if (wf_option_value(options, "key_pointer") == NULL)
		return;
	for (int i = 0; i < lengthof(others); i++)
		if (wf_option_value(options, others[i]) != NULL)
			contradiction(psprintf("options \"key_pointer\" and \"%s\" cannot be used together", others[i]),
						  "The key is sent in the body or in a header.",
						  "Leave one of them out.");
}

/*
 * One status has one meaning.
 */
static void
check_statuses(List *options)
{
	static const char *const names[] = {"in_progress", "mismatch", "already_done", "rejects"};

	for (int i = 0; i < lengthof(names); i++)
		for (int k = i + 1; k < lengthof(names); k++)
		{
			const char *one = wf_option_value(options, names[i]);
			const char *other = wf_option_value(options, names[k]);
			List	   *both = one == NULL || other == NULL ? NIL :
			list_intersection_int(wf_option_statuses(names[i], one),
								  wf_option_statuses(names[k], other));

			if (both != NIL)
				contradiction(psprintf("status %d is in \"%s\" and in \"%s\"",
									   linitial_int(both), names[i], names[k]),
							  "One status has one meaning.", "Leave it out of one of them.");
		}
}

static void
check_lookup(List *options)
{
	const char *proof = wf_option_value(options, "absent_is_proof");
	const char *accepted = wf_option_value(options, "accepted");

	if (accepted != NULL && strcmp(accepted, "probe") == 0 &&
		wf_option_value(options, "lookup_path") == NULL)
		contradiction("accepted 'probe' needs a lookup",
					  "There is no \"lookup_path\" to ask whether it is done.",
					  "Add lookup_path, as '{location}' for where the answer points to, and lookup_found.");
	if (wf_option_value(options, "lookup_path") == NULL)
	{
		for (int i = 0; i < lengthof(lookup_options); i++)
			if (wf_option_value(options, lookup_options[i]) != NULL)
				contradiction(psprintf("option \"%s\" is of no use without \"lookup_path\"",
									   lookup_options[i]),
							  "There is no lookup.",
							  "Add the path to ask: OPTIONS (lookup_path '/orders?reference={key}').");
		return;
	}
	if (wf_option_value(options, "lookup_found") == NULL)
		contradiction("option \"lookup_found\" is missing",
					  "An answer that does not show the action must never count as one that does.",
					  "Add a jsonpath over {status, headers, body}: OPTIONS (lookup_found '$.body.total > 0').");
	if (proof != NULL && wf_option_bool("absent_is_proof", proof) &&
		wf_option_value(options, "lookup_absent") == NULL)
		contradiction("option \"lookup_absent\" is missing",
					  "With absent_is_proof an action that is not found is sent again.",
					  "Add a jsonpath over {status, headers, body}: OPTIONS (lookup_absent '$.status == 404').");
}

static void
check_care(List *options, WfDedup dedup)
{
	static const char *const names[] = {"resend", "probe", "hold"};
	const char *value = wf_option_value(options, "on_unknown");
	bool		has_lookup = wf_option_value(options, "lookup_path") != NULL;
	WfOnUnknown least = wf_default_on_unknown(dedup, has_lookup);
	WfOnUnknown declared;

	if (value == NULL)
		return;
	declared = wf_option_on_unknown(value);
	if (dedup == WF_DEDUP_PURE)
		contradiction("option \"on_unknown\" is of no use with dedup 'pure'",
					  "Where nothing changes, an unknown outcome is an ordinary failure.",
					  "Leave it out, or say what a second copy would do with another dedup.");
	if (declared < least)
		contradiction(psprintf("on_unknown '%s' is less careful than dedup '%s' needs",
							   value, wf_dedup_name(dedup)),
					  psprintf("An unknown outcome is treated as '%s' here, and can only be "
							   "treated with more care.", names[least]),
					  least == WF_UNKNOWN_HOLD ?
					  "Use hold, or add a lookup_path to find out by." : "Use probe or hold.");
	if (declared == WF_UNKNOWN_PROBE && !has_lookup)
		contradiction("on_unknown 'probe' needs a lookup",
					  "There is no \"lookup_path\" to ask.",
					  "Add lookup_path and lookup_found, or use hold.");
}

/*
 * Raises which options of a server contradict each other.
 */
void
wf_check_profile(List *options)
{
	WfDedup		dedup = wf_option_dedup(wf_option_value(options, "dedup"));

	check_key_options(options, dedup);
	check_key_place(options);
	check_statuses(options);
	check_lookup(options);
	check_care(options, dedup);
}
