/*
 * exchange.h
 *	  Between the values of the http room and those of the effect room.
 */
#ifndef WF_WORKER_EXCHANGE_H
#define WF_WORKER_EXCHANGE_H

#include "effect/effect.h"
#include "http/http.h"

extern void wf_exchange_start(WfHttpClient *client, int64 id, WfWire *wire);
extern WfHttpResult *wf_exchange_play(int64 id, const WfWire *wire,
									  const WfHttpScript *script);
extern void wf_exchange_read(const WfHttpResult *result, WfExchange *exchange);

#endif							/* WF_WORKER_EXCHANGE_H */
