/*
 * columns.h
 *	  Columns of workflow.job, by their numbers less one.
 */
#ifndef WF_QUEUE_COLUMNS_H
#define WF_QUEUE_COLUMNS_H

typedef enum WfJobColumn
{
	JOB_ID = 0,
	JOB_QUEUE,
	JOB_KIND,
	JOB_STATUS,
	JOB_PRIORITY,
	JOB_RUN_AT,
	JOB_ATTEMPT,
	JOB_ITEM,
	JOB_STATE,
	JOB_SEQ,
	JOB_EFFECT,
	JOB_GROUP_KEY = 12,
	JOB_TOKEN = 13,
	JOB_CLAIMED_AT = 15,
	JOB_LEASE_UNTIL = 16,
	JOB_WAITING_ON = 19,
	JOB_CREATED_AT = 23,
	JOB_PAYLOAD = 24,
	JOB_DEAD_LETTER = 25,
	JOB_AGED = 26,
	JOB_TENANT = 27,
	JOB_UNITS = 28,
	JOB_BEHIND = 29,
	JOB_COLUMNS,
} WfJobColumn;

#endif							/* WF_QUEUE_COLUMNS_H */
