/*
 * method.h
 *	  Methods of HTTP that may be sent.
 */
#ifndef WF_BASE_METHOD_H
#define WF_BASE_METHOD_H

/* What is wrong with a method, in a sentence; NULL when it may be sent. */
extern const char *wf_method_fault(const char *method);

/* 'did you mean "..."?', of a method that may be sent and looks misspelled; else NULL. */
extern char *wf_method_meant(const char *method);

#endif							/* WF_BASE_METHOD_H */
