/*
 * enforced.h
 *	  A user's own table whose column is held to a workflow.
 */
#ifndef WF_ITEM_ENFORCED_H
#define WF_ITEM_ENFORCED_H

#include "commands/trigger.h"
#include "definition/graph.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/rel.h"

/* How the text of a state is stored. */
typedef enum WfStateForm
{
	WF_STATE_TEXT,				/* text, varchar, citext */
	WF_STATE_PADDED,			/* char(n) */
	WF_STATE_NAME,
	WF_STATE_ENUM,
} WfStateForm;

/* The two columns, as the table (or this partition of it) has them. */
typedef struct WfEnforcedColumns
{
	AttrNumber	state;
	AttrNumber	key;
	WfStateForm form;
	bool		key_is_text;
	FmgrInfo	key_output;
	bool		key_by_value;
	int16		key_length;
} WfEnforcedColumns;

/* The text of a state: not ended by a null byte. */
typedef struct WfStateText
{
	const char *text;			/* NULL: null */
	int			length;
} WfStateText;

#define WF_NO_STATE (-1)
#define WF_NO_EVENT (-1)

/* What a trigger judges by, kept while neither table nor versions change. */
typedef struct WfEnforced
{
	Oid			trigger;		/* hash key */
	bool		is_valid;
	Oid			relation;		/* that it fires on */
	Oid			root;			/* that is enforced */
	MemoryContext memory;		/* of what follows */
	int			enforcement_id;
	const char *workflow;
	int			version;
	const WfGraph *graph;		/* while it is being made */
	WfEnforcedColumns columns;
	int			initial;
	int			nstates;
	const char **states;
	Datum	   *state_texts;
	int		   *events;			/* [from * nstates + to]: of event_texts, or
								 * WF_NO_EVENT */
	int			nevents;
	const char **event_names;
	Datum	   *event_texts;
	Datum		insert_text;
	Datum		kind_text;
	uint32		nslots;			/* a power of two, more than twice nstates */
	int		   *slots;			/* states by the hash of their name */
	uint32		nlabels;		/* of an enum: the same by the hash of the oid */
	Oid		   *label_oids;
	int		   *label_states;
} WfEnforced;

/* The state that a row was in before it moved to another partition. */
typedef struct WfEnforcedStart
{
	int			state;			/* or WF_NO_STATE */
	uint32		unknown;		/* then: hash of its text */
} WfEnforcedStart;

/* One entry of the log. */
typedef struct WfEnforcedMove
{
	const WfEnforced *enforced;
	const char *key;
	int			from;			/* WF_NO_STATE: the row is new */
	int			event;
	int			to;
	HeapTuple	row;			/* as it was stored */
} WfEnforcedMove;

/* enforced.c */
extern const WfEnforced *wf_enforced(const TriggerData *trigger);
extern int	wf_enforced_state(const WfEnforced *enforced, TupleTableSlot *row, WfStateText *text);

/* enforced_columns.c */
extern void wf_enforced_columns(Relation relation, const char *state_column,
								const char *key_column, WfEnforcedColumns *columns);
extern WfStateText wf_enforced_state_text(const WfEnforcedColumns *columns, TupleTableSlot *row);
extern char *wf_enforced_key(const WfEnforcedColumns *columns, TupleTableSlot *row);
extern bool wf_enforced_same_key(const WfEnforcedColumns *columns, TupleTableSlot *old,
								 TupleTableSlot *new);

/* enforced_moves.c */
extern void wf_enforced_leaves(const WfEnforced *enforced, const char *key,
							   const WfEnforcedStart *start);
extern bool wf_enforced_arrives(const WfEnforced *enforced, const char *key,
								WfEnforcedStart *start);
extern const char *wf_enforced_due(const WfEnforced *enforced);
extern void wf_enforced_moves_end(uint64 statement);

/* enforced_order.c */
extern bool wf_enforced_is_overtaken(const WfEnforcedMove *move, int64 *row_seq, TimestampTz *at);

/* enforced_log.c */
extern uint64 wf_enforced_statement(void);
extern bool wf_enforced_statement_is_of(Oid table);
extern void wf_enforced_log(const WfEnforcedMove *move);
extern void wf_enforced_init(void);

#endif							/* WF_ITEM_ENFORCED_H */
