/*
 * tenants.h
 *	  From one tenant of a fair queue to the next.
 */
#ifndef WF_QUEUE_TENANTS_H
#define WF_QUEUE_TENANTS_H

#include "access/genam.h"
#include "access/relscan.h"
#include "look.h"
#include "marks.h"
#include "queue_internal.h"

/* The tenants of the ready jobs of one priority. */
typedef struct WfTenants
{
	WfLook		look;
	Snapshot	snapshot;		/* shows what this transaction has done, too */
	IndexScanDesc names;
	IndexScanDesc rows;
	TupleTableSlot *slot;
	bool		has_marks;
	WfTrackKey	track;
	int32		priority;
	TimestampTz from;			/* of the priority */
	TimestampTz now;
	text	   *name;			/* come by last; NULL: none */
	bool		is_at_entry;	/* names stands at one of that name */
} WfTenants;

/* Whose turn it is, with the first job of his that is due. */
typedef struct WfTenantTurn
{
	Datum		tenant;
	TimestampTz from;
	int			units;
} WfTenantTurn;

extern void wf_tenants_open(WfTenants *tenants, const WfClaim *claim, int priority,
							TimestampTz from);
extern void wf_tenants_close(WfTenants *tenants);

/* Those that come now are behind that one; NULL: all. */
extern void wf_tenants_begin_behind(WfTenants *tenants, const char *name);

/* The next, none behind "until" unless that is NULL. */
extern bool wf_tenants_next(WfTenants *tenants, const char *until, WfTenantTurn *turn);

#endif							/* WF_QUEUE_TENANTS_H */
