/*
 * figure_ready.c
 *	  How long a queue is, for who is to store one job more.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "figure_internal.h"
#include "utils/timestamp.h"

/*
 * The store whose figures can be used, or NULL.
 */
static WfStore *
kept_store(void)
{
	WfStore    *store;

	if (RecoveryInProgress() || !wf_figures_are_kept())
		return NULL;
	store = wf_mark_store();

	return store == NULL ? wf_store_find() : store;
}

int64
wf_figure_ready(const char *queue)
{
	WfStore    *store = kept_store();
	WfFigures	figures;
	WfFigurePage page;
	int64		noted;

	if (store == NULL || !wf_figure_is_known(store))
		return -1;
	figures = wf_figures_of(queue, strlen(queue));
	if (figures == 0 || !wf_figures_ready_noted(figures, &noted))
		return -1;
	wf_figure_read((WfFigurePage *) wf_arena_page(figures), &page);
	if (wf_figure_page_is_sound(&page, GetCurrentTimestamp()))
		return Max(wf_figure_page_not_begun(&page) + noted, 0);
	wf_figure_outdate(store);

	return -1;
}

void
wf_figures_learn(void)
{
	WfStore    *store = kept_store();

	if (store != NULL && !wf_figure_is_known(store))
		(void) wf_figures_count(store);
}
