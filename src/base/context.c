/*
 * context.c
 *	  The border of a public function: what CONTEXT an error shows to its caller.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/context.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

/* Marks, in a context, where the lines of inner functions end. */
#define BORDER "pg_workflow inner functions end here"

#define PL_LINE "PL/"
#define INNER_PL_LINE "PL/pgSQL function workflow._"
#define ASSIGNMENT_LINE "PL/pgSQL assignment "
#define EXPRESSION_LINE "PL/pgSQL expression "
#define SQL_LINE "SQL function \""
#define INNER_SQL_LINE "SQL function \"_"

static bool
begins_with(const char *text, const char *beginning)
{
	return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool
is_of_our_class(int sqlerrcode)
{
	return begins_with(unpack_sql_state(sqlerrcode), "WF");
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

	return begins_with(context, INNER_PL_LINE) && raise != NULL && (end == NULL || raise < end);
}

/*
 * Whether the error says what is wrong and what to do: C code of ours always
 * says both, and a fault that is met seldom does.
 */
static bool
is_refusal(const ErrorData *error, const char *context)
{
	return is_of_our_class(error->sqlerrcode) ||
		error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION ||
		(error->detail != NULL && error->hint != NULL) || is_raised_by_inner(context);
}

/*
 * An assignment or expression says nothing of whose it is: its function has a
 * line of its own.
 */
static bool
is_foreign(const char *line)
{
	return (begins_with(line, PL_LINE) && !begins_with(line, INNER_PL_LINE) &&
			!begins_with(line, ASSIGNMENT_LINE) && !begins_with(line, EXPRESSION_LINE)) ||
		(begins_with(line, SQL_LINE) && !begins_with(line, INNER_SQL_LINE));
}

static bool
has_foreign_function(const char *context)
{
	for (const char *line = context; line != NULL; line = strchr(line, '\n'))
	{
		line += *line == '\n';
		if (is_foreign(line))
			return true;
	}

	return false;
}

/*
 * Takes the border out of the context of an error, and what is within where
 * that is for nobody to see; returns whether it is.
 */
static bool
cut_at_border(ErrorData *error)
{
	char	   *context = error->context;
	char	   *border = context == NULL ? NULL : strstr(context, BORDER);
	char	   *outer;
	bool		is_ours;

	if (border == NULL)
		return false;
	outer = border + strlen(BORDER);
	if (*outer == '\n')
		outer++;
	*border = '\0';
	is_ours = is_refusal(error, context) && !has_foreign_function(context);
	if (is_ours)
		error->context = outer;
	else
	{
		if (border > context && *outer == '\0')
			border[-1] = '\0';
		error->context = psprintf("%s%s", context, outer);
	}
	if (*error->context == '\0')
		error->context = NULL;

	return is_ours;
}

static const char *
where_one_may_write(void)
{
	return RecoveryInProgress() ? "Call it on the primary server." :
		"Call it in a transaction that may write: BEGIN READ WRITE;";
}

void
wf_require_writable(const char *name)
{
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute workflow.%s() in a read-only transaction", name),
				 errdetail("It writes to the tables of pg_workflow."),
				 errhint("%s", where_one_may_write())));
}

/*
 * name: of the public function, in a transaction that may not write; else NULL.
 */
static void
rethrow(const char *name)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	if (cut_at_border(error) && name != NULL &&
		error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION && error->hint == NULL)
	{
		error->message = psprintf("cannot execute workflow.%s() in a read-only transaction", name);
		error->detail = pstrdup("It writes to the tables of pg_workflow.");
		error->hint = pstrdup(where_one_may_write());
	}
	ReThrowError(error);
}

/*
 * Of an error only: a notice passes no border.
 */
static void
mark_border(void *arg)
{
	int			category = ERRCODE_TO_CATEGORY(geterrcode());

	if (category != ERRCODE_SUCCESSFUL_COMPLETION && category != ERRCODE_WARNING)
		errcontext(BORDER);
}

/*
 * See context.h.
 */
Datum
wf_at_border(PGFunction function, FunctionCallInfo fcinfo)
{
	MemoryContext caller_memory = CurrentMemoryContext;
	ErrorContextCallback border = {error_context_stack, mark_border, NULL};
	const char *name = XactReadOnly ? get_func_name(fcinfo->flinfo->fn_oid) : NULL;
	volatile Datum result = (Datum) 0;

	PG_TRY();
	{
		error_context_stack = &border;
		result = function(fcinfo);
		error_context_stack = border.previous;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller_memory);
		rethrow(name);
	}
	PG_END_TRY();

	return result;
}

bool
wf_may_commit(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
}
