/*
 * graph.h
 *	  A compiled version of a workflow, as the engine reads it.
 *
 * A graph is immutable and lives until the backend ends or the definitions are
 * invalidated; do not keep a pointer to one across transactions.
 */
#ifndef WF_DEFINITION_GRAPH_H
#define WF_DEFINITION_GRAPH_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef enum WfActivityKind
{
	WF_ACTIVITY_NONE,			/* waits for send */
	WF_ACTIVITY_FINAL,			/* ends the item */
	WF_ACTIVITY_SQL,
	WF_ACTIVITY_HTTP,
	WF_ACTIVITY_MODEL,
	WF_ACTIVITY_TASK,
	WF_ACTIVITY_REVIEW,
	WF_ACTIVITY_EXCEPTION,
	WF_ACTIVITY_WAIT,
	WF_ACTIVITY_SPAWN,
	WF_ACTIVITY_GATE,			/* decided at once, as are the next two */
	WF_ACTIVITY_VALIDATE,
	WF_ACTIVITY_THEN,
} WfActivityKind;

/* The event that says that all is taken back. */
#define WF_EVENT_COMPENSATED "compensated"

/* Target of a transition that leads back to the item's origin. */
#define WF_TO_ORIGIN (-1)

typedef struct WfTransition
{
	const char *event;
	Datum		event_text;
	int			to;				/* index of a state, or WF_TO_ORIGIN */
	bool		from_any;		/* declared under any.on */
} WfTransition;

typedef struct WfState
{
	const char *name;
	Datum		name_text;
	WfActivityKind kind;
	Jsonb	   *activity;		/* the object under sql, http, ...; NULL for
								 * none and final */
	const char *then_event;		/* with WF_ACTIVITY_THEN */
	const char *queue;			/* NULL where the activity needs none */
	const char *result_key;		/* "as": where the result is stored; NULL
								 * where none is (gate, validate, then, final) */
	const char *outcome;		/* of a final state, else NULL */
	Jsonb	   *retry;			/* the policy object, laid over "default";
								 * NULL where the activity needs none */
	int64		timeout_us;		/* of the visit, roughly; 0 for none */
	Interval	timeout;		/* the same, exactly */
	const char *timeout_event;
	int64		sla_us;			/* how long a visit may last until it is late;
								 * 0: not said */
	bool		awaits_compensation;	/* handles "compensated" by itself */
	int			ntransitions;
	WfTransition *transitions;	/* own ones first, then those of "any" */
} WfState;

typedef struct WfGraph
{
	const char *workflow;
	int			version;
	const char *owner;
	const char *definer;		/* its name when the version was stored */
	Oid			definer_role;
	Jsonb	   *document;
	int			nkey_parts;
	const char **key_parts;		/* selectors */
	Jsonb	   *input_schema;	/* or NULL */
	int			initial;		/* index of a state */
	int			nstates;
	WfState    *states;
	struct HTAB *by_name;
	int		   *recent;			/* states that were asked for last */
	struct WfPauseNote *pause;	/* what is known of a pause of the workflow */
} WfGraph;

/* Outcome of the built-in final state CANCELLED. */
#define WF_STATE_CANCELLED	"CANCELLED"

/* The compiled version; raises WF012 when there is none. */
extern const WfGraph *wf_graph(const char *workflow, int version);

/* The same without a statement: NULL when it has to be read first. */
extern const WfGraph *wf_graph_known(const char *workflow, int version);

/* The same, of a text of a row. */
extern const WfGraph *wf_graph_known_by_text(Datum workflow, int version);

/*
 * Whether the whole workflow is paused, as of now; and whether that can be told
 * without a statement.
 */
extern bool wf_graph_is_paused(const WfGraph *graph);
extern bool wf_graph_pause_is_known(const WfGraph *graph);

/* The same of a workflow whose graph is not known. */
extern bool wf_workflow_is_paused(const char *workflow);

/* What is known of pauses holds until this count changes. */
extern uint64 wf_pause_changes(void);

/* The state that items start in; raises when there is none. */
extern const WfState *wf_graph_initial(const WfGraph *graph);

/* The role that defined the version; raises when it was dropped. */
extern Oid	wf_graph_definer(const WfGraph *graph);

/* The version that new items get; raises WF012, or WF008 when retired or paused. */
extern const WfGraph *wf_active_graph(const char *workflow);

/* NULL when there is no such state; CANCELLED is known in every graph. */
extern const WfState *wf_graph_state(const WfGraph *graph, const char *name);
extern const WfState *wf_graph_state_by_text(const WfGraph *graph, Datum name);

/* NULL when the state does not handle the event. */
extern const WfTransition *wf_state_transition(const WfState *state, const char *event);

/*
 * Which states can be reached from one, over any events, in one step or more;
 * [nstates], allocated in the current context.
 */
extern bool *wf_graph_reached(const WfGraph *graph, const WfState *from);

/*
 * The version of the model whose answer a gate judges: of the one that stores
 * what its value selects, else the only one that there is; NULL when that is
 * not to be told.
 */
extern const char *wf_gate_model_version(const WfGraph *graph, const WfState *gate);

/* Whether some state that can be reached from here handles the event. */
extern bool wf_event_possible_later(const WfGraph *graph, const WfState *from,
									const char *event);

#endif							/* WF_DEFINITION_GRAPH_H */
