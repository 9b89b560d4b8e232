/*
 * definition_internal.h
 *	  What the files of this room share: the fault collector and the compiler.
 */
#ifndef WF_DEFINITION_INTERNAL_H
#define WF_DEFINITION_INTERNAL_H

#include "base/plan.h"
#include "base/suggest.h"
#include "definition/graph.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* Names that figures are kept by have at most so many bytes. */
#define WF_MAX_NAME 250

/* ---- input.c: texts that have to be the input of a type ---- */

/*
 * Whether a type's input function accepts a text; *value (unless NULL) is what
 * it returns, *problem the message of its refusal.  Only for input functions
 * that look at nothing but the text.
 */
extern bool wf_text_is_input(PGFunction input, const char *text,
							 Datum *value, char **problem);

/* An interval as microseconds; false when the text is none. */
extern bool wf_interval_from_text(const char *text, int64 *microseconds);

/* ---- template_path.c ---- */

/* Appends a value so that nothing in it can end its segment. */
extern void wf_path_append_value(StringInfo out, const char *value, const char *selector);
extern void wf_path_require_plain(const char *path);

/* ---- fault.c: the collector ---- */

typedef enum WfSeverity
{
	WF_SEVERITY_ERROR,			/* define refuses the document */
	WF_SEVERITY_WARNING,		/* define says it */
	WF_SEVERITY_NOTICE,			/* only workflow.check() says it */
} WfSeverity;

typedef struct WfDocumentFault
{
	WfSeverity	severity;
	const char *code;			/* one word, for programs */
	const char *path;			/* "$.states.A.http.key" */
	const char *state;			/* or NULL */
	const char *problem;
	const char *hint;			/* or NULL */
} WfDocumentFault;

/* One check of one document. */
typedef struct WfCheck
{
	Jsonb	   *document;
	JsonbValue *root;
	const char *workflow;		/* or NULL when the document does not say */
	const char *definer;		/* name of the role */
	Datum		search_path;	/* text[]: where functions are looked up */
	StringInfoData path;		/* where the check stands */
	const char *state;			/* the state it is in, or NULL */
	List	   *faults;			/* of WfDocumentFault * */
	bool		has_errors;		/* one of them is an error */
	bool		has_policy_errors;	/* one of a retry policy: none is read */
	Jsonb	   *functions;		/* names of functions as written: as resolved */
	MemoryContext context;		/* of the faults */
	int			suggestions;	/* names that were compared for hints */
	List	   *endpoints;		/* of WfEndpointFacts *: looked up already */
} WfCheck;

/*
 * Which of the members of an object, and one more name unless it is NULL, may
 * have been meant; NULL when none is near, or after so many comparisons that a
 * document full of faults would take long.
 */
extern char *wf_check_nearest(WfCheck *check, const char *word,
							  JsonbValue *object, const char *more);

/* The same of a list of names. */
extern char *wf_check_nearest_of(WfCheck *check, const char *word,
								 const char *const *names, int n);

/* The same of names that are stored: the first column of a plan's rows. */
extern char *wf_check_nearest_stored(WfCheck *check, const char *word, WfPlan *plan);

/* A hint, or another one when it is NULL. */
extern const char *wf_or_else(const char *hint, const char *otherwise);

/* What happens because of a fault, by its code; NULL for an unknown one. */
extern const char *wf_fault_consequence(const char *code);

/* Goes down to a member or an element; leave() takes what enter() returned. */
extern int	wf_check_enter(WfCheck *check, const char *key);
extern int	wf_check_enter_element(WfCheck *check, int index);
extern void wf_check_leave(WfCheck *check, int mark);
extern bool wf_check_enter_activity(WfCheck *check, const WfState *state, const char *member);

/* Goes down to a state, and back. */
extern int	wf_check_enter_state(WfCheck *check, const char *state);
extern void wf_check_leave_state(WfCheck *check, int mark);

/* Adds a fault where the check stands.  hint may be NULL. */
extern void wf_check_error(WfCheck *check, const char *code, const char *hint,
						   const char *problem,...) pg_attribute_printf(4, 5);
extern void wf_check_warning(WfCheck *check, const char *code, const char *hint,
							 const char *problem,...) pg_attribute_printf(4, 5);
extern void wf_check_notice(WfCheck *check, const char *code, const char *hint,
							const char *problem,...) pg_attribute_printf(4, 5);
extern bool wf_check_has_errors(const WfCheck *check);

/* ---- shape.c: objects with known members ---- */

#define WF_TEXT		0x01		/* a string that is not empty */
#define WF_NUMBER	0x02
#define WF_BOOL		0x04
#define WF_OBJECT	0x08
#define WF_ARRAY	0x10
#define WF_NULL		0x20
#define WF_ANY		0x3F

typedef struct WfField
{
	const char *name;
	int			types;
	const char *required;		/* why it has to be there; NULL: it need not */
	void		(*check) (WfCheck *check, JsonbValue *value);	/* or NULL */
	const char *code;			/* when it is missing; NULL: missing_key */
} WfField;

/* Checks the members of an object against the fields; the last has no name. */
extern void wf_check_object(WfCheck *check, JsonbValue *object, const WfField *fields);

/* Whether a value has one of the types; adds a fault when not. */
extern bool wf_check_type(WfCheck *check, const JsonbValue *value, int types);

/* Checks that serve several fields. */
extern void wf_check_interval(WfCheck *check, JsonbValue *value);
extern void wf_check_name(WfCheck *check, JsonbValue *value);	/* of what figures are
																 * kept by */
extern void wf_check_name_length(WfCheck *check, const char *name);
extern void wf_check_positive_int(WfCheck *check, JsonbValue *value);
extern void wf_check_int(WfCheck *check, JsonbValue *value);
extern void wf_check_int_within(WfCheck *check, JsonbValue *value, int least, int most);
extern void wf_check_selector(WfCheck *check, JsonbValue *value);
extern void wf_check_template(WfCheck *check, JsonbValue *value);	/* deep */
extern void wf_check_templates(WfCheck *check, JsonbValue *value);	/* one or several */
extern void wf_check_texts(WfCheck *check, JsonbValue *value);	/* array, not empty */
extern void wf_check_schema(WfCheck *check, JsonbValue *value);

/* ---- check_key.c ---- */

/* Parts that identify an item, or an action. */
extern void wf_check_item_key(WfCheck *check, JsonbValue *value);
extern void wf_check_effect_key(WfCheck *check, JsonbValue *value);

/* ---- check_policy.c, check_activity.c, check_request.c, check_state.c ---- */

#define WF_WHY_QUEUE	"name the queue that the work waits in"

extern const WfField wf_policy_fields[];

extern void wf_check_policies(WfCheck *check, JsonbValue *policies);
extern void wf_check_retry(WfCheck *check, JsonbValue *value);
extern void wf_check_queues(WfCheck *check, JsonbValue *queues);
extern void wf_check_queue_name(WfCheck *check, JsonbValue *value);

/* How long work of a queue may wait, in microseconds; 0 when it is not known. */
extern int64 wf_check_queue_sla(WfCheck *check, const char *queue);

extern void wf_check_method(WfCheck *check, JsonbValue *value);
extern void wf_check_path(WfCheck *check, JsonbValue *value);
extern void wf_check_headers(WfCheck *check, JsonbValue *value);
extern void wf_check_http(WfCheck *check, JsonbValue *value);
extern void wf_check_model(WfCheck *check, JsonbValue *value);	/* check_model_call.c */
extern void wf_check_budget(WfCheck *check, JsonbValue *value);
extern void wf_check_spawn(WfCheck *check, JsonbValue *value);
extern void wf_check_gate(WfCheck *check, JsonbValue *value);
extern void wf_check_review(WfCheck *check, JsonbValue *value);

/* The kinds of activity by the key that says them; the last has no name. */
typedef struct WfActivityShape
{
	const char *name;
	WfActivityKind kind;
	int			types;
	void		(*check) (WfCheck *check, JsonbValue *value);
} WfActivityShape;

extern const WfActivityShape wf_activity_shapes[];
extern const char *wf_activity_name(WfActivityKind kind);

extern void wf_check_states(WfCheck *check, JsonbValue *states);
extern void wf_check_activities(WfCheck *check, JsonbValue *activities);
extern void wf_check_any(WfCheck *check, JsonbValue *any);

/* ---- check_function.c ---- */

extern void wf_check_function(WfCheck *check, JsonbValue *value);

/* ---- check_endpoint.c: what the catalog says of an endpoint ---- */

typedef struct WfEndpointFacts
{
	const char *name;
	const char *dedup;			/* or NULL */
	const char *owner;			/* or NULL */
	const char *on_unknown;		/* resend, probe or hold */
	int64		timeout_us;		/* of a call; 0: not said */
	const char *code;			/* why the definer cannot use it, or NULL */
	const char *problem;
	const char *hint;
} WfEndpointFacts;

extern const WfEndpointFacts *wf_check_endpoint(WfCheck *check, const char *name);
extern void wf_check_action_endpoint(WfCheck *check, JsonbValue *value);
extern void wf_check_model_endpoint(WfCheck *check, JsonbValue *value);

/* ---- check_graph.c and what follows it: of the compiled graph ---- */

extern void wf_check_graph(WfCheck *check, const WfGraph *graph);
extern char *wf_names_of_cycle(const WfGraph *graph, List *cycle);	/* A -> B -> A */
extern void wf_check_launch(WfCheck *check, const WfGraph *graph);
extern void wf_check_spawn_launch(WfCheck *check, const WfState *state);
extern void wf_check_gate_judges(WfCheck *check, const WfGraph *graph, const WfState *state);
extern void wf_check_gate_samples(WfCheck *check, const WfGraph *graph, const WfState *state);
extern void wf_check_gate_verdicts(WfCheck *check, const WfGraph *graph, const WfState *state);
extern void wf_check_gate_guarded(WfCheck *check, const WfGraph *graph, int gate);
extern void wf_check_times(WfCheck *check, const WfState *state);
extern void wf_check_loops(WfCheck *check, const WfGraph *graph);
extern void wf_check_data_flow(WfCheck *check, const WfGraph *graph);
extern void wf_check_action_keys(WfCheck *check, const WfGraph *graph);
extern void wf_check_unused(WfCheck *check);

/* Which states ask a model whose answer no state validates, by index. */
extern bool *wf_find_unchecked_models(const WfGraph *graph);

/* The first members that a key selects; NULL for one that is not known. */
extern List *wf_key_roots(JsonbValue *key);

/* Whether the document handles an event in a state, be it with a wrong target. */
extern bool wf_check_declares(const WfCheck *check, const WfState *state, const char *event);

/* Whether a job of the state is run by a worker, and tried again. */
extern bool wf_state_is_attempted(const WfState *state);

/* ---- reach.c ---- */

/* The same as wf_graph_reached(), of several states, but not over "@origin". */
extern bool *wf_graph_reached_forward(const WfGraph *graph, const bool *sources);

/* The graph the other way round: which states lead to one of the targets. */
typedef struct WfWaysBack WfWaysBack;
extern WfWaysBack *wf_ways_back(const WfGraph *graph);
extern bool *wf_graph_leading_to(const WfWaysBack *ways, const bool *targets);

/* ---- cycle.c ---- */

/*
 * The cycles of a graph of n nodes with such edges (lists of nodes): for each
 * set of nodes that all lead to each other a shortest cycle through one of
 * them, if possible one that is preferred (or NULL); a List of Lists of nodes.
 * component[], unless NULL, tells the sets apart; -1 for a node on no cycle.
 */
extern List *wf_find_cycles(int n, List **edges, const bool *preferred, int *component);

/* ---- selector.c ---- */

/* The selectors in a string of a document (List of char *). */
extern List *wf_template_selectors(const char *template);

/*
 * The members that a selector names, if it is a plain path such as
 * $.a."b c"; else false.
 */
extern bool wf_selector_members(const char *selector, List **members);

/* The first member that a selector names; NULL when it names none for sure. */
extern char *wf_selector_root(const char *selector);

/* Whether a state is left in the transaction that enters it. */
extern bool wf_state_is_instant(const WfState *state);

/* Names of the events that a state raises by itself (List of char *). */
extern List *wf_state_raised_events(const WfState *state);

/* ---- duplicate.c ---- */

/* Adds a fault for every key that an object of the JSON text has twice. */
extern void wf_check_duplicate_keys(WfCheck *check, const char *json);

/* ---- check_document.c ---- */

/*
 * Finds every fault of a document.  Connected to SPI, as owner; fills
 * check->faults and check->functions.  functions: those that were resolved
 * when the document was stored, else an empty object.
 */
extern WfCheck *wf_check_document(const char *json, const char *definer,
								  Datum search_path, Jsonb *functions);

/* ---- define.c ---- */

typedef struct WfDefined
{
	const char *workflow;
	int			version;
	bool		created;
} WfDefined;

/* The caller's search path as text[]: ask before the owner's is in force. */
extern Datum wf_search_path_of_caller(void);

/* Checks a document, raises what is wrong, stores it; function: for its hint. */
extern WfDefined wf_define_document(const char *json, const char *definer,
									Datum search_path, const char *function);
extern Datum wf_defined_result(FunctionCallInfo fcinfo, const WfDefined *defined);
extern void wf_put_fault(ReturnSetInfo *rsinfo, const WfDocumentFault *fault, bool with_place);

/* ---- compile.c ---- */

typedef struct WfSource
{
	const char *workflow;
	int			version;
	const char *owner;
	const char *definer;
	Oid			definer_role;
	Jsonb	   *document;
	Jsonb	   *functions;		/* or NULL */
} WfSource;

/*
 * Compiles a document into the current memory context.  Of a document with
 * faults, what is wrong is left out.
 */
extern WfGraph *wf_graph_compile(const WfSource *source);

/* pause.c */
extern struct WfPauseNote *wf_pause_note(void);

#endif							/* WF_DEFINITION_INTERNAL_H */
