/*
 * quarantine.h
 *	  Effects that the original of this database may have made.
 */
#ifndef WF_EFFECT_QUARANTINE_H
#define WF_EFFECT_QUARANTINE_H

#include "effect/ledger.h"

extern TimestampTz wf_in_doubt_since(const WfIntent *intent);

#endif							/* WF_EFFECT_QUARANTINE_H */
