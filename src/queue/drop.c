/*
 * drop.c
 *	  Removing the row of a queue, and what belongs to it alone.
 *
 * Whether it may go is judged by drop_queue() (sql/queue_drop.sql), which holds
 * the tables of jobs by then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "queue_internal.h"

static WfPlan keys_plan = {
	.name = "drop_spent_keys",
	.expected = SPI_OK_DELETE,
	.passes = "spent_key",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.spent_key WHERE queue = $1",
};

static WfPlan rates_plan = {
	.name = "drop_tenant_rates",
	.expected = SPI_OK_DELETE,
	.passes = "tenant_rate",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.tenant_rate WHERE queue = $1",
};

static WfPlan queue_plan = {
	.name = "drop_queue",
	.expected = SPI_OK_DELETE,
	.passes = "queue",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.queue WHERE queue = $1",
};

PG_FUNCTION_INFO_V1(wf_queue_delete);

/*
 * _delete_queue(queue text) returns void
 */
Datum
wf_queue_delete(PG_FUNCTION_ARGS)
{
	Datum		queue = PG_GETARG_DATUM(0);

	SPI_connect();
	(void) wf_plan_execute(&keys_plan, &queue, NULL);
	(void) wf_plan_execute(&rates_plan, &queue, NULL);
	(void) wf_plan_execute(&queue_plan, &queue, NULL);
	SPI_finish();

	PG_RETURN_VOID();
}
