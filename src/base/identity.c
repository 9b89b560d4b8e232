/*
 * identity.c
 *	  Texts that tell one thing from another: keys, event ids and the like.
 */
#include "postgres.h"

#include "base/identity.h"
#include "utils/builtins.h"

/*
 * Two of them and a name fit into a row of an index, whatever they consist of.
 */
#define MAX_BYTES 1000

void
wf_require_short(const char *value, const char *what)
{
	if (strlen(value) > MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", what),
				 errdetail("It has %zu bytes; %d are allowed.", strlen(value), MAX_BYTES),
				 errhint("Give a digest of it, such as encode(sha256(...), 'hex').")));
}

const char *
wf_require_name(const char *value, const char *what, const char *hint)
{
	if (*value == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", what),
				 errdetail("It tells one thing from another; '' would make them all the same."),
				 errhint("%s", hint)));
	wf_require_short(value, what);

	return value;
}

char *
wf_optional_label(FunctionCallInfo fcinfo, int argument, const char *name)
{
	char	   *value;

	if (PG_ARGISNULL(argument))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	wf_require_short(value, psprintf("argument \"%s\"", name));

	return value;
}

char *
wf_optional_name(FunctionCallInfo fcinfo, int argument, const char *name)
{
	char	   *value;

	if (PG_ARGISNULL(argument))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	wf_require_name(value, psprintf("argument \"%s\"", name),
					"Leave it out, or give null, where there is none.");

	return value;
}
