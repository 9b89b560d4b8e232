/*
 * mask.c
 *	  The spellings of a secret that an answer may have.
 *
 * A receiver that echoes what it got may encode it: as base64, alone or with
 * something before and after it; with percent signs; as a string of JSON.  Each
 * of these is masked like the secret itself.
 */
#include "postgres.h"

#include "effect/ledger.h"
#include "effect/mask.h"
#include "lib/stringinfo.h"
#include "utils/json.h"

static List *
add_form(List *forms, char *form, const char *plain)
{
	return strcmp(form, plain) == 0 ? forms : lappend(forms, form);
}

/*
 * In base64, what comes before decides where in a group of three bytes the
 * secret begins; the characters at its ends hold bits of its neighbours, and so
 * are left.
 */
static List *
add_base64(List *forms, const char *secret, int before)
{
	static const int skipped[] = {0, 2, 3};
	int			length = strlen(secret) + before;
	char	   *bytes = psprintf("%.*s%s", before, "--", secret);
	char	   *text = wf_base64(bytes, length);
	char	   *url;

	text[		length * 8 / 6] = '\0';

	url = pstrdup(text);
	for (char *c = url; *c != '\0'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	forms = lappend(forms, text +skipped[before]);
	forms = add_form(forms, url + skipped[before], text +skipped[before]);
	explicit_bzero(bytes, length);

	return forms;
}

static char *
percent_encoded(const char *secret, const char *format, const char *space)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const unsigned char *c = (const unsigned char *) secret; *c != '\0'; c++)
	{
		if (*c == ' ' && space != NULL)
			appendStringInfoString(&text, space);
		else if ((*c < 0x80 && isalnum(*c)) || strchr("-._~", *c) != NULL)
			appendStringInfoChar(&text, *c);
		else
			appendStringInfo(&text, format, *c);
	}

	return text.data;
}

static char *
json_escaped(const char *secret)
{
	StringInfoData text;

	initStringInfo(&text);
	escape_json(&text, secret);
	text.		data[text.len - 1] = '\0';

	return text.data + 1;
}

/*
 * Some writers of JSON escape slashes, too.
 */
static char *
with_escaped_slashes(const char *form)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const char *c = form; *c != '\0'; c++)
	{
		if (*c == '/')
			appendStringInfoChar(&text, '\\');
		appendStringInfoChar(&text, *c);
	}

	return text.data;
}

List *
wf_mask_add(List *masked, const char *secret)
{
	List	   *forms = list_make1(pstrdup(secret));
	int			n;

	for (int before = 0; before <= 2; before++)
		forms = add_base64(forms, secret, before);
	forms = add_form(forms, percent_encoded(secret, "%%%02X", NULL), secret);
	forms = add_form(forms, percent_encoded(secret, "%%%02x", NULL), secret);
	if (strchr(secret, ' ') != NULL)
		forms = lappend(forms, percent_encoded(secret, "%%%02X", "+"));
	forms = add_form(forms, json_escaped(secret), secret);
	n = list_length(forms);
	for (int i = 0; i < n; i++)
		if (strchr(list_nth(forms, i), '/') != NULL)
			forms = lappend(forms, with_escaped_slashes(list_nth(forms, i)));

	return list_concat(masked, forms);
}
