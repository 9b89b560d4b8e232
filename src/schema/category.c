/*
 * category.c
 *	  What \p{...} stands for in a pattern: the general categories of Unicode,
 *	  from a table of our own, since those of the server depend on its locale.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "schema/categories.h"
#include "schema/schema_internal.h"

#define LAST_CODE 0x10ffff

/*
 * The names of a category, as ECMA-262 lists them: short, long, and one more.
 * A group of categories has one letter, which theirs begin with; but for "LC".
 */
static const char *const names[][3] = {
	{"L", "Letter"}, {"LC", "Cased_Letter"}, {"Lu", "Uppercase_Letter"}, {"Ll", "Lowercase_Letter"},
	{"Lt", "Titlecase_Letter"}, {"Lm", "Modifier_Letter"}, {"Lo", "Other_Letter"},
	{"M", "Mark", "Combining_Mark"}, {"Mn", "Nonspacing_Mark"}, {"Mc", "Spacing_Mark"}, {"Me", "Enclosing_Mark"},
	{"N", "Number"}, {"Nd", "Decimal_Number", "digit"}, {"Nl", "Letter_Number"}, {"No", "Other_Number"},
	{"P", "Punctuation", "punct"}, {"Pc", "Connector_Punctuation"}, {"Pd", "Dash_Punctuation"},
	{"Ps", "Open_Punctuation"}, {"Pe", "Close_Punctuation"}, {"Pi", "Initial_Punctuation"},
	{"Pf", "Final_Punctuation"}, {"Po", "Other_Punctuation"},
	{"S", "Symbol"}, {"Sm", "Math_Symbol"}, {"Sc", "Currency_Symbol"}, {"Sk", "Modifier_Symbol"}, {"So", "Other_Symbol"},
	{"Z", "Separator"}, {"Zs", "Space_Separator"}, {"Zl", "Line_Separator"}, {"Zp", "Paragraph_Separator"},
	{"C", "Other"}, {"Cc", "Control", "cntrl"}, {"Cf", "Format"}, {"Cs", "Surrogate"}, {"Co", "Private_Use"},
	{"Cn", "Unassigned"},
};

/*
 * Returns the short name of a category; NULL when there is none of that name.
 */
static const char *
short_name(const char *name)
{
	for (int i = 0; i < lengthof(names); i++)
		for (int j = 0; j < lengthof(names[i]); j++)
			if (names[i][j] != NULL && strcmp(names[i][j], name) == 0)
				return names[i][0];

	return NULL;
}

static bool
is_of(const char *category, const char *wanted)
{
	if (strcmp(wanted, "LC") == 0)
		return category[0] == 'L' && strchr("ult", category[1]) != NULL;

	return strncmp(category, wanted, strlen(wanted)) == 0;
}

static void
add_range(StringInfo out, pg_wchar first, pg_wchar last)
{
	if (first <= last)
		appendStringInfo(out, "\\U%08x-\\U%08x", (unsigned int) Max(first, 1), (unsigned int) last);
}

/*
 * Appends what is, or is not, of a category, as it stands within brackets.
 */
static void
add_category(StringInfo out, const char *category, bool is_negated)
{
	int			n = lengthof(category_runs);
	int			run = 0;

	while (run < n)
	{
		int			end = run;

		while (end < n && is_of(category_runs[end].category, category) != is_negated)
			end++;
		if (end > run)
			add_range(out, category_runs[run].first, end < n ? category_runs[end].first - 1 : LAST_CODE);
		run = Max(end, run + 1);
	}
}

bool
wf_add_category(StringInfo out, const char *property, bool is_negated)
{
	static const char *const prefixes[] = {"General_Category=", "gc="};
	const char *category;

	if (strcmp(property, "Any") == 0 && !is_negated)
		add_range(out, 1, LAST_CODE);
	else if (strcmp(property, "ASCII") == 0)
		add_range(out, is_negated ? 0x80 : 1, is_negated ? LAST_CODE : 0x7f);
	else if (strcmp(property, "Assigned") == 0)
		add_category(out, "Cn", !is_negated);
	else
	{
		for (int i = 0; i < lengthof(prefixes); i++)
			if (strncmp(property, prefixes[i], strlen(prefixes[i])) == 0)
			{
				property += strlen(prefixes[i]);
				break;
			}
		category = short_name(property);
		if (category == NULL)
			return false;
		add_category(out, category, is_negated);
	}

	return true;
}
