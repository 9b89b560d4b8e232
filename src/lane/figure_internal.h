/*
 * figure_internal.h
 *	  The pages of figures.
 *
 * Locks: the root's, shared, by whoever adds a change; then that of a page.
 * The root's is held exclusively by whoever begins or ends to count anew.  Who
 * reads takes none of them: a page has a version, odd while it is changed.
 */
#ifndef WF_LANE_FIGURE_INTERNAL_H
#define WF_LANE_FIGURE_INTERNAL_H

#include "lane/figure.h"
#include "lane_internal.h"

/*
 * Ready jobs by their run_at: those of whole seconds, of seconds that were put
 * together where there were too many.
 */
typedef struct WfSpan
{
	TimestampTz first;
	TimestampTz last;
	int64		count;
	TimestampTz changed_at;
} WfSpan;

#define WF_SPANS 100

/* Of a commit that is seen, the figures hear at the latest after so long. */
#define WF_QUIET_US (10 * USECS_PER_SEC)

/* Events are counted in slots of so many seconds, for fifteen minutes. */
#define WF_SLOT_US (10 * USECS_PER_SEC)
#define WF_EVENT_SLOTS 91
#define WF_EVENTS (WF_FIGURE_FAILED - WF_FIGURE_ENQUEUED + 1)

/* Durations are counted in windows; the last three are looked at. */
#define WF_WINDOW_US (300 * USECS_PER_SEC)
#define WF_WINDOWS 3
#define WF_DURATIONS (WF_FIGURE_RUN - WF_FIGURE_WAIT + 1)
#define WF_BINS 122

typedef struct WfFigurePage
{
	WfPage		page;
	LWLock		lock;
	pg_atomic_uint32 version;
	WfPageNo	store;
	uint64		queue_hash;
	bool		is_free;		/* nobody has asked for it since its queue
								 * went */
	int64		count[WF_FIGURE_DEAD + 1];	/* but for the ready ones */
	int			n_spans;
	uint32		merges;			/* spans put together since it was emptied */
	WfSpan		spans[WF_SPANS];
	int64		event_slot;		/* the latest, since the epoch */
	int64		window;			/* the latest, since the epoch */
	uint32		events[WF_EVENT_SLOTS][WF_EVENTS];
	uint32		bins[WF_WINDOWS][WF_DURATIONS][WF_BINS];
} WfFigurePage;

/* figure_page.c */
extern void wf_figure_page_empty(WfFigurePage *page);
extern void wf_figure_page_forget(WfFigurePage *page);
extern bool wf_figure_page_is_empty(const WfFigurePage *page);
extern void wf_figure_page_add(WfFigurePage *page, WfFigure figure, int64 at, int64 by,
							   TimestampTz now);
extern void wf_figure_page_add_span(WfFigurePage *page, const WfSpan *span);
extern bool wf_figure_page_is_sound(const WfFigurePage *page, TimestampTz now);
extern int64 wf_figure_bin(int64 duration_us);
extern int64 wf_figure_page_not_begun(const WfFigurePage *page);
extern void wf_figure_page_ready(const WfFigurePage *page, TimestampTz now, int64 *ready,
								 int64 *delayed, TimestampTz *oldest);
extern int64 wf_figure_page_events(const WfFigurePage *page, WfFigure event, TimestampTz now,
								   int seconds, double *rate);
extern int64 wf_figure_page_percentile(const WfFigurePage *page, WfFigure duration,
									   TimestampTz now, double part);

/* figure_root.c */
typedef struct WfFigureChange
{
	WfFigures	figures;
	WfFigure	figure;
	SubTransactionId subtransaction;
	int64		at;
	int64		by;
} WfFigureChange;

extern WfFigurePage *wf_figure_find(WfStore *store, uint64 queue_hash, bool make);
extern void wf_figure_apply(WfStore *store, const WfFigureChange *changes, int count);
extern void wf_figure_outdate(WfStore *store);
extern bool wf_figure_watch(WfStore *store, TransactionId prepared);
extern bool wf_figure_is_known(WfStore *store);
extern uint32 wf_figure_begin_count(WfStore *store);
extern bool wf_figure_end_count(WfStore *store, uint32 number, WfFigurePage **pages, int count);
extern void wf_figure_read(const WfFigurePage *page, WfFigurePage *copy);

/* figure_change.c */
extern bool wf_figures_any_noted(void);
extern bool wf_figures_ready_noted(WfFigures figures, int64 *sum);

/* figure_count.c */
extern bool wf_figures_count(WfStore *store);

#endif							/* WF_LANE_FIGURE_INTERNAL_H */
