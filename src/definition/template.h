/*
 * template.h
 *	  Values of a document that are taken from an item's data.
 *
 * A string that begins with "$." or is "$" is a jsonpath selector; "\$"
 * escapes it; "{$.a}" inside a string interpolates.  Nothing here looks at a
 * table.
 */
#ifndef WF_DEFINITION_TEMPLATE_H
#define WF_DEFINITION_TEMPLATE_H

#include "utils/jsonb.h"

/*
 * Each raises data_exception (class "validation") when a selector finds
 * several values; wf_render_text() and wf_render_key() also when it finds
 * nothing.
 */

/* A body: every string in it rendered; what is not found becomes null. */
extern Jsonb *wf_render(Jsonb *template, Jsonb *data);

/*
 * The same for an element of an array: "$.each" is the element, "$.index" its
 * place, both members of "each"; everything else is looked for in the data.
 */
extern Jsonb *wf_render_each(Jsonb *template, Jsonb *data, Jsonb *each);
extern char *wf_render_key_each(Jsonb *parts, Jsonb *data, Jsonb *each);
extern bool wf_selects_each(const char *selector);

/* The value of one selector (or literal); NULL when it finds nothing. */
extern Jsonb *wf_select(const char *selector, Jsonb *data);

/* A path or a text; interpolated values are percent-encoded in a path. */
extern char *wf_render_text(const char *template, Jsonb *data);
extern char *wf_render_path(const char *template, Jsonb *data);

/* The parts, rendered, escaped and joined by ':'. */
extern char *wf_render_key(const char *const *parts, int nparts, Jsonb *data);
extern char *wf_render_key_jsonb(Jsonb *parts, Jsonb *data);

/*
 * The same of an action, or a text as it is.  An empty value is refused, too:
 * such a key would name the actions of all items that lack it.
 */
extern char *wf_render_action_key(Jsonb *key, Jsonb *data);

/* Whether a string is a selector, and whether it is a valid one. */
extern bool wf_is_selector(const char *string);
extern bool wf_selector_is_valid(const char *selector, char **problem);

/* Whether no segment of a path is "." or "..", which mean another place. */
extern bool wf_path_is_plain(const char *path);

/* Whether any string of a template is well-formed. */
extern bool wf_template_is_valid(const char *template, char **problem);

#endif							/* WF_DEFINITION_TEMPLATE_H */
