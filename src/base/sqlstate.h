/*
 * sqlstate.h
 *	  SQLSTATEs of class WF: what a client may want to branch on.
 */
#ifndef WF_BASE_SQLSTATE_H
#define WF_BASE_SQLSTATE_H

/* no such transition from the present state */
#define ERRCODE_WF_NO_TRANSITION		MAKE_SQLSTATE('W','F','0','0','1')
/* expected_seq is not the item's seq */
#define ERRCODE_WF_STALE_SEQ			MAKE_SQLSTATE('W','F','0','0','2')
/* item key or event id reused with another input */
#define ERRCODE_WF_KEY_REUSED			MAKE_SQLSTATE('W','F','0','0','3')
/* token of a claim that has ended */
#define ERRCODE_WF_STALE_TOKEN			MAKE_SQLSTATE('W','F','0','0','4')
/* effect key reused with another request */
#define ERRCODE_WF_EFFECT_CONFLICT		MAKE_SQLSTATE('W','F','0','0','5')
/* definition is invalid */
#define ERRCODE_WF_DEFINITION_INVALID	MAKE_SQLSTATE('W','F','0','0','6')
/* this role may not decide this review */
#define ERRCODE_WF_NOT_PERMITTED		MAKE_SQLSTATE('W','F','0','0','7')
/* item, workflow or queue is paused */
#define ERRCODE_WF_PAUSED				MAKE_SQLSTATE('W','F','0','0','8')
/* queue is full */
#define ERRCODE_WF_QUEUE_FULL			MAKE_SQLSTATE('W','F','0','0','9')
/* endpoint refused: missing, not allowed, or against the address policy */
#define ERRCODE_WF_ENDPOINT_REFUSED		MAKE_SQLSTATE('W','F','0','1','0')
/* value does not match its schema */
#define ERRCODE_WF_SCHEMA_MISMATCH		MAKE_SQLSTATE('W','F','0','1','1')
/* unknown item, queue, workflow, job, review or effect */
#define ERRCODE_WF_UNKNOWN				MAKE_SQLSTATE('W','F','0','1','2')

#endif							/* WF_BASE_SQLSTATE_H */
