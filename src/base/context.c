/*
 * context.c
 *	  What CONTEXT an error shows to whoever called a public function.
 */
#include "postgres.h"

#include "base/context.h"

#define FUNCTION_LINE "PL/pgSQL function "
#define INNER_FUNCTION FUNCTION_LINE "workflow._"

static bool
is_of_our_class(int sqlerrcode)
{
	const char *code = unpack_sql_state(sqlerrcode);

	return code[0] == 'W' && code[1] == 'F';
}

/*
 * Whether the error was raised, not met: the innermost line is a RAISE of an
 * inner function.
 */
static bool
is_raised_by_inner(const char *context)
{
	const char *end = strchr(context, '\n');
	const char *raise = strstr(context, " at RAISE");

	return strncmp(context, INNER_FUNCTION, strlen(INNER_FUNCTION)) == 0 &&
		raise != NULL && (end == NULL || raise < end);
}

static bool
has_foreign_function(const char *context)
{
	for (const char *line = strstr(context, FUNCTION_LINE); line != NULL;
		 line = strstr(line + 1, FUNCTION_LINE))
		if (strncmp(line, INNER_FUNCTION, strlen(INNER_FUNCTION)) != 0)
			return true;

	return false;
}

/*
 * Returns the context as the caller is to see it; NULL when nothing is left.
 */
static char *
outer_context(int sqlerrcode, char *context)
{
	char	   *border = context == NULL ? NULL : strstr(context, WF_CONTEXT_BORDER);
	char	   *outer;

	if (border == NULL)
		return context;
	outer = border + strlen(WF_CONTEXT_BORDER);
	if (*outer == '\n')
		outer++;
	*border = '\0';
	if ((is_of_our_class(sqlerrcode) || is_raised_by_inner(context)) &&
		!has_foreign_function(context))
		return *outer == '\0' ? NULL : outer;
	if (border > context && *outer == '\0')
		border[-1] = '\0';

	return *context == '\0' && *outer == '\0' ? NULL : psprintf("%s%s", context, outer);
}

void
wf_rethrow_at_border(void)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	error->context = outer_context(error->sqlerrcode, error->context);
	ReThrowError(error);
}
