/*
 * session.h
 *	  Whether the process that holds something still lives.
 */
#ifndef WF_BASE_SESSION_H
#define WF_BASE_SESSION_H

#include "datatype/timestamp.h"

/*
 * A process is named by its number and the time it started, for numbers are
 * used again.  Read what the process holds first, and ask this after.
 */
extern bool wf_session_lives(int pid, TimestampTz started_at);

#endif							/* WF_BASE_SESSION_H */
