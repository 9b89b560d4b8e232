/*
 * classify.c
 *	  Error classes: the words in which the product speaks about failures.
 *
 * A class says whether repeating can mend a failure.  The list is closed, so
 * that policies, views and alerts of different workflows mean the same.
 */
#include "postgres.h"

#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "retry/policy.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct ErrorClass
{
	const char *name;
	bool		is_transient;	/* repeating can mend it */
	bool		is_repeatable;	/* a policy may repeat it by time */
} ErrorClass;

static const ErrorClass error_classes[] = {
	{"timeout", true, true},
	{"connection", true, true},
	{"rate_limited", true, true},
	{"overloaded", true, true},
	{"deadlock", true, true},
	{"serialization", true, true},
	{"unavailable", true, true},
	{"validation", false, true},
	{"schema", false, true},
	{"refused", false, true},
	{"truncated", false, true},
	{"unauthorized", false, false},
	{"not_found", false, true},
	{"conflict", false, true},
	{"permanent", false, true},
	{"unknown_outcome", false, false},
	{"poison", false, false},
};

/*
 * The more exact entries come first: the first one whose prefix matches wins.
 */
static const struct
{
	const char *prefix;
	const char *error_class;
}			sqlstate_classes[] = {
	{"40P01", "deadlock"},
	{"40", "serialization"},
	{"57014", "timeout"},		/* statement_timeout, or a cancel request */
	{"55P03", "timeout"},		/* lock_timeout, or NOWAIT */
	{"25P03", "timeout"},
	{"25P04", "timeout"},
	{"08", "connection"},
	{"53", "overloaded"},
	{"57P", "unavailable"},
	{"58", "unavailable"},
	{"55006", "unavailable"},
	{"42501", "unauthorized"},
	{"28", "unauthorized"},
	{"22", "validation"},
	{"23505", "conflict"},
	{"23P01", "conflict"},
	{"23", "validation"},
	{"P0002", "not_found"},
	{"WF001", "conflict"},
	{"WF002", "conflict"},
	{"WF003", "conflict"},
	{"WF004", "conflict"},
	{"WF005", "conflict"},
	{"WF007", "unauthorized"},
	{"WF008", "unavailable"},
	{"WF009", "overloaded"},
	{"WF010", "refused"},
	{"WF011", "schema"},
	{"WF012", "not_found"},
};

static const ErrorClass *
find_class(const char *name)
{
	for (int i = 0; i < lengthof(error_classes); i++)
		if (strcmp(error_classes[i].name, name) == 0)
			return &error_classes[i];

	return NULL;
}

const char **
wf_error_class_names(int *count)
{
	const char **names = palloc(sizeof(char *) * lengthof(error_classes));

	for (int i = 0; i < lengthof(error_classes); i++)
		names[i] = error_classes[i].name;
	*count = lengthof(error_classes);

	return names;
}

bool
wf_error_class_is_known(const char *error_class)
{
	return error_class != NULL && find_class(error_class) != NULL;
}

bool
wf_error_class_is_transient(const char *error_class)
{
	const ErrorClass *found = find_class(error_class);

	return found != NULL && found->is_transient;
}

/*
 * Whether a policy may repeat the class at all: what needs a person, or
 * evidence, is never repeated by time.
 */
bool
wf_error_class_is_repeatable(const char *error_class)
{
	const ErrorClass *found = find_class(error_class);

	return found != NULL && found->is_repeatable;
}

/*
 * Raises invalid_parameter_value, with the list of known classes, when the
 * class is none of them.
 */
void
wf_require_error_class(const char *error_class)
{
	StringInfoData known;

	if (wf_error_class_is_known(error_class))
		return;

	initStringInfo(&known);
	for (int i = 0; i < lengthof(error_classes); i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : ", ", error_classes[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 error_class == NULL ? errmsg("an error class is missing") :
			 errmsg("unknown error class \"%s\"", error_class),
			 errdetail("The error classes are: %s.", known.data),
			 errhint("Use \"permanent\" for a failure that repeating cannot mend.")));
}

/*
 * Returns the class of an SQLSTATE; what is not known to be mended by
 * repeating is "permanent".
 */
const char *
wf_classify_sqlstate(int sqlstate)
{
	const char *code = unpack_sql_state(sqlstate);

	for (int i = 0; i < lengthof(sqlstate_classes); i++)
		if (strncmp(code, sqlstate_classes[i].prefix,
					strlen(sqlstate_classes[i].prefix)) == 0)
			return sqlstate_classes[i].error_class;

	return "permanent";
}

PG_FUNCTION_INFO_V1(wf_retry_classify_sqlstate);

/*
 * workflow._classify_sqlstate(sqlstate text) returns text
 */
Datum
wf_retry_classify_sqlstate(PG_FUNCTION_ARGS)
{
	char	   *code = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strlen(code) != 5 || strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an SQLSTATE", code),
				 errdetail("An SQLSTATE has five digits or upper-case letters."),
				 errhint("40P01 is an example.")));

	PG_RETURN_TEXT_P(cstring_to_text(wf_classify_sqlstate(MAKE_SQLSTATE(code[0], code[1], code[2],
																		code[3], code[4]))));
}

PG_FUNCTION_INFO_V1(wf_retry_error_classes);

/*
 * workflow._error_classes() returns text[]
 */
Datum
wf_retry_error_classes(PG_FUNCTION_ARGS)
{
	Datum		names[lengthof(error_classes)];

	for (int i = 0; i < lengthof(error_classes); i++)
		names[i] = CStringGetTextDatum(error_classes[i].name);

	PG_RETURN_ARRAYTYPE_P(construct_array(names, lengthof(error_classes), TEXTOID, -1, false, TYPALIGN_INT));
}
