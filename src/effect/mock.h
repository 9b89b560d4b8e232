/*
 * mock.h
 *	  Answers that a test gives in the place of an endpoint.
 */
#ifndef WF_EFFECT_MOCK_H
#define WF_EFFECT_MOCK_H

#include "effect/effect.h"

/* What a mock answers. */
typedef struct WfMock
{
	const char *failure;		/* or NULL */
	int			status;
	Jsonb	   *headers;		/* object of strings */
	const char *body;			/* or NULL */
	size_t		body_length;
} WfMock;

/*
 * Whether the present transaction has mocks: then it cannot commit, and carries
 * out the calls of their endpoints itself.
 */
extern bool wf_mocks_are_set(void);

/*
 * Notes the request and takes the mock that answers it, in the current memory
 * context; raises WF010 when there is none.
 */
extern WfMock *wf_mock_take(const WfWire *wire);

/*
 * The time that senders and receivers live in: real time, whatever
 * pg_workflow.clock says, unless mocks stand for the receivers.
 */
extern TimestampTz wf_wire_now(void);

/* secret.c */
extern char *wf_wire_secret(const WfWire *wire, const char *name, char **problem);

/* step.c */
struct WfEffect;
struct WfEndpoint;
extern char *wf_why_refused(const struct WfEffect *effect, const struct WfEndpoint *endpoint);

/* gate.c and breaker.c: what tests have counted, or are to begin with */
extern void wf_gate_forget(void);
extern void wf_breaker_forget(void);

#endif							/* WF_EFFECT_MOCK_H */
