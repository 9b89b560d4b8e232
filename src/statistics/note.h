/*
 * note.h
 *	  What the files of the statistics room share.
 */
#ifndef WF_STATISTICS_NOTE_H
#define WF_STATISTICS_NOTE_H

#include "statistics/statistics.h"

/*
 * Kept beyond the transaction, with its texts as they are stored.  A table that is
 * made anew, with the extension, has nothing of what was noted for it.
 */
typedef struct WfPath
{
	struct WfPath *next;		/* of the same bucket */
	uint32		hash;
	Oid			table;			/* that it is noted for */
	int			from_version;
	int			version;
	const char *workflow;
	const char *from_state;		/* or NULL */
	const char *to_state;
	const char *outcome;		/* or NULL */
	Datum		texts[4];		/* of workflow, from_state, to_state, outcome;
								 * 0: NULL */
} WfPath;

/* Times are minutes. */
typedef struct WfNoteKey
{
	const WfPath *path;
	int32		minute;
	int32		left_since;
	int32		entered_since;
	int16		class;			/* of the length of the stay; -1: none */
	int16		has_left_since;
} WfNoteKey;

typedef struct WfNote
{
	WfNoteKey	key;
	SubTransactionId subtransaction;
	int32		n;				/* moves */
} WfNote;

/* Attempts of effects. */
typedef struct WfAttemptNote
{
	Oid			table;			/* as of a path */
	int			endpoint_id;
	SubTransactionId subtransaction;
	int32		n;
	char		outcome[16];
	char		error_class[32];	/* "" for none */
} WfAttemptNote;

/* The tables that notes are stored in as they are now; InvalidOid where there is none. */
extern Oid	wf_delta_table(void);
extern Oid	wf_attempt_table(void);

extern const WfAttemptNote *wf_attempt_notes_take(int *count);
extern void wf_attempt_notes_forget(void);
extern void wf_attempt_notes_end(SubTransactionId mine, SubTransactionId parent, bool is_commit);

extern void wf_notes_begin(void);
extern const WfNote *wf_notes_take(int *count);
extern bool wf_notes_any(void);
extern void wf_notes_forget(void);
extern void wf_notes_end(SubTransactionId mine, SubTransactionId parent, bool is_commit);

#endif							/* WF_STATISTICS_NOTE_H */
