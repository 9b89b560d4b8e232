/*
 * point.c
 *	  Labelled points: places in the code where a test may stop a process.
 */
#include "postgres.h"

#include "base/point.h"
#include "fmgr.h"

static WfPointPlugin *none = NULL;
WfPointPlugin **wf_point_plugin = &none;

#define WF_POINT_NAME(label) #label,
static const char *const names[] = {
	WF_POINTS(WF_POINT_NAME)
};

void
wf_point_reached(WfPoint point)
{
	(*wf_point_plugin)->reached(names[point]);
}

/*
 * Called when the library is loaded.
 */
void
wf_point_init(void)
{
	wf_point_plugin = (WfPointPlugin **) find_rendezvous_variable(WF_POINT_VARIABLE);
}
