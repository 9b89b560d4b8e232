/*
 * registry.h
 *	  Which workers there are: a slot of shared memory for each.
 */
#ifndef WF_WORKER_REGISTRY_H
#define WF_WORKER_REGISTRY_H

#include "datatype/timestamp.h"

typedef enum WfWorkerKind
{
	WF_WORKER_LAUNCHER,
	WF_WORKER_MAINTENANCE,
	WF_WORKER_SQL,
	WF_WORKER_HTTP,
} WfWorkerKind;

typedef enum WfSlotState
{
	WF_SLOT_FREE,
	WF_SLOT_STARTING,			/* reserved; the process is not up yet */
	WF_SLOT_RUNNING,
	WF_SLOT_ABSENT,				/* it found no extension: for the launcher to
								 * know */
	WF_SLOT_RESTING,			/* it gave its process up to others: likewise */
	WF_SLOT_STOPPED,			/* stopped by a person: not to be started
								 * again */
	WF_SLOT_HELD,				/* the same, while a statement needs the
								 * database */
} WfSlotState;

#define WF_DOING_LENGTH 96
#define WF_FAILURE_LENGTH 256

/* After so long without work a process may be spared. */
#define WF_SPARE_MS 1000

/* After so long with work, too, where databases take turns. */
#define WF_TURN_MS 10000

typedef struct WfWorkerSlot
{
	WfSlotState state;
	WfSlotState state_after;	/* what the slot becomes when the worker ends */
	WfWorkerKind kind;
	Oid			database;
	uint32		generation;		/* tells the users of one slot apart */
	int			pid;			/* of the worker, or of who starts it */
	TimestampTz process_start;	/* tells it from a later one of that number */
	bool		by_launcher;
	bool		is_ready;		/* connected, and the extension is there */
	bool		wants_help;		/* it has been busy without a pause */
	bool		is_asked_to_end;
	bool		is_asked_to_rest;
	bool		is_idle;		/* a maintenance worker: it sleeps */
	bool		is_outdated;	/* what it found absent may be there by now */
	TimestampTz started_at;
	TimestampTz last_activity;
	TimestampTz next_due;		/* of a maintenance worker that sleeps */
	TimestampTz lacks_since;	/* it has no process for another worker; 0: it
								 * does not need any */
	int			in_flight;
	char		doing[WF_DOING_LENGTH];

	/*
	 * of a maintenance worker: WfPart, as bits, that fail; since when, and
	 * how
	 */
	uint32		failing;
	TimestampTz failing_since;
	char		failing_at[WF_DOING_LENGTH];
	char		failure[WF_FAILURE_LENGTH];
} WfWorkerSlot;

/* Names a slot and its generation; fits a worker's argument. */
typedef uint64 WfTicket;

#define WF_NO_TICKET ((WfTicket) 0)

extern void wf_registry_init(void);

/* The starter's side. */
extern WfTicket wf_registry_reserve(WfWorkerKind kind, Oid database, bool by_launcher);
extern void wf_registry_cancel(WfTicket ticket);

/* The worker's side. */
extern bool wf_registry_take(WfTicket ticket, WfWorkerSlot *copy);
extern void wf_registry_ready(void);
extern void wf_registry_end_as(WfSlotState state);
extern void wf_registry_doing(const char *doing);
extern void wf_registry_in_flight(int in_flight);
extern void wf_registry_want_help(bool wanted);
extern bool wf_registry_is_asked_to_end(void);
extern const char *wf_registry_what_is_done(void);
extern void wf_registry_failing(uint32 failing, TimestampTz since, const char *at, const char *how);

/* Processes that died with a job: how many so far. */
extern void wf_registry_note_death(void);
extern uint32 wf_registry_deaths(void);

/* For whoever looks: all used slots, palloc'd; returns how many. */
extern int	wf_registry_list(WfWorkerSlot **slots);
extern int	wf_registry_count(WfWorkerKind kind, Oid database);
extern bool wf_registry_may_help(Oid database, int most);
extern int	wf_registry_terminate(Oid database, WfSlotState maintenance_state);
extern bool wf_registry_clear(Oid database, WfSlotState state);

/* Databases in which the extension may be new. */
extern void wf_registry_ask_recheck(Oid database);
extern int	wf_registry_take_rechecks(Oid *databases, int size, bool *all);

extern const char *wf_worker_kind_name(WfWorkerKind kind);

#endif							/* WF_WORKER_REGISTRY_H */
