/*
 * owner.h
 *	  Doing the inner work of a public function with the extension's rights.
 */
#ifndef WF_BASE_OWNER_H
#define WF_BASE_OWNER_H

typedef struct WfCaller
{
	Oid			role;			/* who called */
	int			sec_context;
	int			guc_level;
} WfCaller;

extern void wf_require_own_functions(void);

extern void wf_enter_owner(WfCaller *caller);
extern void wf_leave_owner(const WfCaller *caller);

extern void wf_enter_role(Oid role, WfCaller *caller);
extern void wf_enter_restricted_role(Oid role, WfCaller *caller);
extern void wf_leave_role(const WfCaller *caller);

extern char *wf_role_name(Oid role);

/* The same as a text, which is kept until another role is asked for. */
extern Datum wf_role_text(Oid role);

#endif							/* WF_BASE_OWNER_H */
