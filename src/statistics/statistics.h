/*
 * statistics.h
 *	  How many items are in each state, how fast they move, and how long they stay.
 *
 * A transaction notes its moves in the process.  As it commits it stores their
 * sums as rows of workflow.state_delta, which nobody else writes to, so that
 * they are there exactly if the moves are.  Who keeps the database going folds
 * these rows into the counts and the history.
 */
#ifndef WF_STATISTICS_STATISTICS_H
#define WF_STATISTICS_STATISTICS_H

#include "datatype/timestamp.h"

/* Before or after a move. */
typedef struct WfStay
{
	int			version;
	const char *state;			/* NULL: there was no item yet */
	const char *outcome;		/* or NULL: the item lives */
	TimestampTz since;
} WfStay;

typedef struct WfStateMove
{
	const char *workflow;
	WfStay		left;
	WfStay		entered;
	TimestampTz at;
} WfStateMove;

/* Notes a move of the present transaction. */
extern void wf_statistics_note(const WfStateMove *move);

/* Notes an attempt of an effect; error_class may be NULL. */
extern void wf_statistics_note_attempt(int endpoint_id, const char *outcome,
									   const char *error_class);

/* Called when the library is loaded. */
extern void wf_statistics_init(void);

/*
 * Times by classes, each at most a sixteenth of itself wide.
 */
extern int	wf_time_class(int64 duration_us);
extern int64 wf_time_class_end(int class);

/* So long after the first move that is not folded. */
#define WF_FOLD_US (5 * USECS_PER_SEC)

/*
 * When rows are next to be folded; 0: there are none.  Called connected to SPI,
 * as the owner; so is the fold, which returns false when somebody else is at it.
 */
extern TimestampTz wf_statistics_next_fold(void);
extern bool wf_statistics_fold(void);

#endif							/* WF_STATISTICS_STATISTICS_H */
