/*
 * cluster.h
 *	  Whether this is the database that was worked in, or a copy of it.
 */
#ifndef WF_BASE_CLUSTER_H
#define WF_BASE_CLUSTER_H

#include "datatype/timestamp.h"

typedef enum WfClusterState
{
	WF_CLUSTER_OURS,
	WF_CLUSTER_UNNAMED,			/* nobody has said which one this is */
	WF_CLUSTER_COPY,			/* the rows were written by another one */
	WF_CLUSTER_PROMOTED,		/* the server was a standby, or was recovered */
} WfClusterState;

/* May be called by any role, outside of SPI too; writes nothing. */
extern WfClusterState wf_cluster_state(void);

/* Why nothing is sent in such a state; NULL when it may be. */
extern const char *wf_cluster_problem(WfClusterState state);

/* Since when what is older is not trusted to be unsent; 0: it is. */
extern TimestampTz wf_cluster_quarantined_since(void);

/* Says which database this is, unless somebody has. */
extern void wf_cluster_name(void);

/* Whether this process has found it to be ours: then no promotion is to come. */
extern bool wf_cluster_is_settled(void);

/* After a promotion: does what pg_workflow.after_failover says. */
extern void wf_cluster_follow(void);

#endif							/* WF_BASE_CLUSTER_H */
