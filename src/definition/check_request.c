/*
 * check_request.c
 *	  What goes outside: requests, and the activity http.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/method.h"
#include "definition/definition_internal.h"
#include "definition/template.h"

#define WHY_ENDPOINT	"name a foreign server of the wrapper workflow_http"
#define TYPE_FORM	"application/x-www-form-urlencoded"
#define TYPE_PARTS	"multipart/form-data"
#define WHY_KEY		"give the business parts that identify the action, so that it never happens twice"

/* ---------------------------------------------------------------------- http */

void
wf_check_method(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);
	char	   *meant = wf_method_meant(text);

	if (wf_method_fault(text) != NULL)
		wf_check_error(check, "bad_value",
					   "write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
					   "\"%s\" is not an HTTP method", text);
	else if (meant != NULL)
		wf_check_error(check, "bad_value", meant, "\"%s\" is not an HTTP method", text);
}

void
wf_check_path(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);

	if (text[0] != '/')
		wf_check_error(check, "bad_path", "the endpoint's url comes before it",
					   "a path begins with \"/\"");
	if (!wf_path_is_plain(text))
		wf_check_error(check, "bad_path", "write the path that it leads to",
					   "a path has no segment \".\" or \"..\"");
	wf_check_template(check, value);
}

static bool
is_header_name(const char *name)
{
	if (*name == '\0')
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *p) != NULL)
			return false;

	return true;
}

void
wf_check_headers(WfCheck *check, JsonbValue *value)
{
	int			count;
	WfMember   *members = wf_jsonb_members(value, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		if (!is_header_name(members[i].key))
			wf_check_error(check, "bad_header", "write one such as \"Accept-Language\"", "is not the name of a header");
		if (wf_check_type(check, &members[i].value, WF_TEXT))
			wf_check_template(check, &members[i].value);
		wf_check_leave(check, mark);
	}
}

static void
check_content_type(WfCheck *check, JsonbValue *value)
{
	char	   *type = wf_jsonb_value_text(value);
	char	   *slash = strchr(type, '/');

	if (slash == NULL || slash == type || slash[1] == '\0' || slash[1] == ';')
		wf_check_error(check, "bad_value", "write a type such as application/x-www-form-urlencoded",
					   "\"%s\" is not a media type", type);
	else if (pg_strncasecmp(type, TYPE_PARTS, strlen(TYPE_PARTS)) == 0 &&
			 type[strlen(TYPE_PARTS)] != '\0')
		wf_check_error(check, "bad_value", "write " TYPE_PARTS,
					   "the boundary is made of the parts and cannot be given");
}

/*
 * A form is made of an object; only that much is known before the data is.
 */
static void
check_form(WfCheck *check, JsonbValue *request)
{
	char	   *type = wf_jsonb_value_text(wf_jsonb_value_get(request, "content_type"));
	JsonbValue *body = wf_jsonb_value_get(request, "body");
	int			mark;

	if (type == NULL || body == NULL ||
		(pg_strncasecmp(type, TYPE_PARTS, strlen(TYPE_PARTS)) != 0 &&
		 pg_strncasecmp(type, TYPE_FORM, strlen(TYPE_FORM)) != 0) ||
		wf_jsonb_value_is_object(body) ||
		(body->type == jbvString && wf_is_selector(wf_jsonb_value_text(body))))
		return;
	mark = wf_check_enter(check, "body");
	wf_check_error(check, "wrong_type", "write {\"field\": \"value\"}",
				   "a body of type %s is an object of fields", type);
	wf_check_leave(check, mark);
}

/* What is read before the action, so that its effect can be undone. */
static const WfField before_fields[] = {
	{"method", WF_TEXT, NULL, wf_check_method},
	{"path", WF_TEXT, "say what is read", wf_check_path},
	{"headers", WF_OBJECT, NULL, wf_check_headers},
	{NULL}
};

static void
check_before(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, before_fields);
}

static const WfField revert_fields[] = {
	{"method", WF_TEXT, "say how it is sent", wf_check_method},
	{"path", WF_TEXT, "say where it is sent", wf_check_path},
	{"headers", WF_OBJECT, NULL, wf_check_headers},
	{"body", WF_ANY, NULL, wf_check_template},
	{"content_type", WF_TEXT, NULL, check_content_type},
	{NULL}
};

static void
check_revert(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, revert_fields);
	check_form(check, value);
}

static const WfField http_fields[] = {
	{"endpoint", WF_TEXT, WHY_ENDPOINT, wf_check_action_endpoint},
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{"method", WF_TEXT, "say how it is sent", wf_check_method},
	{"path", WF_TEXT, "say where it is sent", wf_check_path},
	{"headers", WF_OBJECT, NULL, wf_check_headers},
	{"body", WF_ANY, NULL, wf_check_template},
	{"content_type", WF_TEXT, NULL, check_content_type},
	{"key", WF_TEXT | WF_ARRAY, WHY_KEY, wf_check_effect_key, "effect_without_key"},
	{"before", WF_OBJECT, NULL, check_before},
	{"revert", WF_OBJECT, NULL, check_revert},
	{"external_id", WF_TEXT, NULL, wf_check_selector},
	{"retry", WF_TEXT | WF_OBJECT, NULL, wf_check_retry},
	{NULL}
};

void
wf_check_http(WfCheck *check, JsonbValue *value)
{
	char	   *method = wf_jsonb_value_text(wf_jsonb_value_get(value, "method"));

	wf_check_object(check, value, http_fields);
	check_form(check, value);
	if (wf_jsonb_value_get(value, "revert") == NULL && method != NULL &&
		strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		wf_check_notice(check, "no_revert", "say with \"revert\" how it is undone, if it can be",
						"the action cannot be undone by workflow.revert()");
}
