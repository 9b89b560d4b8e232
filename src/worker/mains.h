/*
 * mains.h
 *	  Entry points of the worker processes, for the postmaster.
 */
#ifndef WF_WORKER_MAINS_H
#define WF_WORKER_MAINS_H

extern PGDLLEXPORT void wf_launcher_main(Datum main_arg);
extern PGDLLEXPORT void wf_maintenance_main(Datum main_arg);
extern PGDLLEXPORT void wf_sql_main(Datum main_arg);
extern PGDLLEXPORT void wf_http_main(Datum main_arg);

#endif							/* WF_WORKER_MAINS_H */
