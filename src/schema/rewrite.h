/*
 * rewrite.h
 *	  How a pattern of ECMA-262 becomes one of the server: what rewrite.c and
 *	  escape.c share.
 */
#ifndef WF_SCHEMA_REWRITE_H
#define WF_SCHEMA_REWRITE_H

#include "lib/stringinfo.h"

/* A group that is open, or the whole pattern. */
typedef struct Frame
{
	int			start;			/* in the output */
	int			alternative;	/* which one it is in */
	int			id;				/* of all groups */
	int			capture;		/* number, 0: none */
	bool		is_look;		/* looks ahead or back */
} Frame;

/* A group that captures. */
typedef struct Capture
{
	const char *name;			/* not terminated, or NULL */
	int			name_length;
	int			parent;			/* id of the frame around it */
	int			alternative;	/* of that */
	bool		is_closed;
	bool		is_sure;		/* always and once, where its frame goes on */
} Capture;

typedef struct Rewrite
{
	const char *at;				/* in the pattern */
	StringInfoData out;
	char	   *problem;		/* NULL: none */
	bool		captures;		/* groups are written as such */
	bool		has_references; /* something refers to a group */
	Frame	   *frames;
	int			nframes;
	Capture    *groups;			/* by number, from 1 on */
	int			ngroups;
	int			nids;
	int			atom;			/* where what could be repeated begins; -1:
								 * nothing */
	int			atom_capture;
} Rewrite;

/* escape.c */
extern void wf_rewrite_refuse(Rewrite *rewrite, const char *what);
extern bool wf_rewrite_is_class(const char *at);
extern void wf_rewrite_class(Rewrite *rewrite, bool is_in_brackets);
extern void wf_rewrite_escape(Rewrite *rewrite);
extern void wf_rewrite_brackets(Rewrite *rewrite);

/* cost.c */
extern double wf_pattern_cost(const char *pattern);

#endif							/* WF_SCHEMA_REWRITE_H */
