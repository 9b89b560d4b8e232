/*
 * cycle.c
 *	  Cycles of a graph; pure.
 *
 * Sets of nodes that all lead to each other are found with Tarjan's algorithm,
 * without recursion, in time linear in the edges; then one short cycle of each
 * is searched for, to be shown to a person.
 */
#include "postgres.h"

#include "definition/definition_internal.h"

typedef struct Search
{
	int			n;
	List	  **edges;
	int		   *component;		/* -1: not known yet, or on no cycle */
	int			ncomponents;
	int		   *number;			/* order of discovery from 1 on; 0: not yet */
	int		   *lowest;			/* least number that is known to be led to */
	bool	   *is_open;		/* its set is not complete */
	int		   *open;			/* stack of those */
	int			nopen;
	int		   *trail;			/* stack of the walk */
	int		   *next;			/* which edge is taken next, by node */
	int			depth;
	int			count;
} Search;

static void
enter(Search *search, int node)
{
	search->number[node] = search->lowest[node] = ++search->count;
	search->is_open[node] = true;
	search->open[search->nopen++] = node;
	search->trail[search->depth++] = node;
}

/*
 * The node has been left for good: if it leads to nothing older, the open
 * nodes from it on are a set; one alone is a cycle if it leads to itself.
 */
static void
leave(Search *search, int node)
{
	bool		is_cycle;
	int			member;

	if (search->lowest[node] != search->number[node])
		return;
	is_cycle = search->open[search->nopen - 1] != node ||
		list_member_int(search->edges[node], node);
	do
	{
		member = search->open[--search->nopen];
		search->is_open[member] = false;
		if (is_cycle)
			search->component[member] = search->ncomponents;
	} while (member != node);
	if (is_cycle)
		search->ncomponents++;
}

static void
walk(Search *search, int start)
{
	enter(search, start);
	while (search->depth > 0)
	{
		int			node = search->trail[search->depth - 1];
		int			to;

		if (search->next[node] >= list_length(search->edges[node]))
		{
			search->depth--;
			leave(search, node);
			if (search->depth > 0)
			{
				int			above = search->trail[search->depth - 1];

				search->lowest[above] = Min(search->lowest[above], search->lowest[node]);
			}
			continue;
		}
		to = list_nth_int(search->edges[node], search->next[node]++);
		if (search->number[to] == 0)
			enter(search, to);
		else if (search->is_open[to])
			search->lowest[node] = Min(search->lowest[node], search->number[to]);
	}
}

/*
 * Returns a shortest cycle through a node, within its set.
 */
static List *
shortest_cycle(const Search *search, int start, int *before)
{
	List	   *queue = list_make1_int(start);
	List	   *cycle = NIL;

	for (int head = 0; head < list_length(queue); head++)
	{
		int			node = list_nth_int(queue, head);
		ListCell   *cell;

		foreach(cell, search->edges[node])
		{
			int			to = lfirst_int(cell);

			if (search->component[to] != search->component[start])
				continue;
			if (to == start)
			{
				for (; node != start; node = before[node])
					cycle = lcons_int(node, cycle);
				return lcons_int(start, cycle);
			}
			if (before[to] >= 0)
				continue;
			before[to] = node;
			queue = lappend_int(queue, to);
		}
	}

	return NIL;					/* cannot be: the set is one of a cycle */
}

static List *
collect(const Search *search, const bool *preferred)
{
	int		   *start = palloc(sizeof(int) * Max(1, search->ncomponents));
	int		   *before = palloc(sizeof(int) * Max(1, search->n));
	List	   *cycles = NIL;

	memset(start, -1, sizeof(int) * search->ncomponents);
	memset(before, -1, sizeof(int) * search->n);
	for (int i = 0; i < search->n; i++)
	{
		int		   *chosen = search->component[i] < 0 ? NULL : &start[search->component[i]];

		if (chosen != NULL &&
			(*chosen < 0 || (preferred != NULL && preferred[i] && !preferred[*chosen])))
			*chosen = i;
	}
	for (int i = 0; i < search->n; i++)
		if (search->component[i] >= 0 && start[search->component[i]] == i)
			cycles = lappend(cycles, shortest_cycle(search, i, before));

	return cycles;
}

List *
wf_find_cycles(int n, List **edges, const bool *preferred, int *component)
{
	Search		search = {n, edges, component};

	if (component == NULL)
		search.component = palloc(sizeof(int) * Max(1, n));
	memset(search.component, -1, sizeof(int) * n);
	search.number = palloc0(sizeof(int) * Max(1, n));
	search.lowest = palloc0(sizeof(int) * Max(1, n));
	search.is_open = palloc0(sizeof(bool) * Max(1, n));
	search.open = palloc(sizeof(int) * Max(1, n));
	search.trail = palloc(sizeof(int) * Max(1, n));
	search.next = palloc0(sizeof(int) * Max(1, n));
	for (int i = 0; i < n; i++)
		if (search.number[i] == 0)
			walk(&search, i);

	return collect(&search, preferred);
}
