/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  What the shape of a plan says about a scan in it.
 *
 * The executor tells a scan little of its place in the plan.  Three things must be
 * known.  The first is whether its rows may be read again, so that they have to be
 * kept.  The second is whether the run of the executor ends when the scan is not read
 * to its end: if it goes on, with another part of the plan, nothing asks the scan for
 * rows any more, and so nothing would end its stream.  The third is whether the plan
 * may be busy for long, or wait, between two rows (quick.c).
 *
 * The plan is searched from the top, with what holds for each part of it.  The answer
 * errs on the side of rows that are read at once, as by a function scan.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "executor/executor.h"
#include "nodes/plannodes.h"

/* What holds for a part of a plan. */
typedef struct Place
{
	bool		once;			/* it is read once */
	bool		whole;			/* it is read to its end, in one go */
	bool		last;			/* when it is not read any more, the run ends */

	/* Of a part that was found, what is above it: */
	bool		quick;			/* takes no time between two rows of it */
	bool		stored;			/* stores all of its rows before it returns
								 * one */
	bool		left;			/* may leave it in the middle, and go on */
} Place;

static bool find(Plan *plan, Plan *target, Place place, Place *found);

/*
 * The same for a list of parts.
 */
static bool
find_in_list(List *plans, Plan *target, Place place, Place *found)
{
	foreach_ptr(Plan, part, plans)
	{
		if (find(part, target, place, found))
			return true;
	}
	return false;
}

/*
 * The inputs of a nested loop.  The inner one is read again for each outer row,
 * unless rows are kept there by a Material node of its own; which reads them all for
 * the first outer row, if the join needs them all.
 */
static bool
find_in_nestloop(NestLoop *loop, Plan *target, Place place, Place *found)
{
	Plan	   *inner = innerPlan(loop);
	Place		inner_place = {.last = place.last};

	if (IsA(inner, Material) && loop->nestParams == NIL)
	{
		inner_place.once = place.once;
		inner_place.whole = place.whole && !loop->join.inner_unique &&
			(loop->join.jointype == JOIN_INNER || loop->join.jointype == JOIN_LEFT);
	}
	return find(outerPlan(loop), target, place, found) ||
		find(inner, target, inner_place, found);
}

/*
 * Look for "target" below a node, in both of its inputs.
 */
static bool
find_below(Plan *plan, Plan *target, Place place, Place *found)
{
	return find(outerPlan(plan), target, place, found) ||
		find(innerPlan(plan), target, place, found);
}

/*
 * The same below a recursive union: what it repeats is read again.
 */
static bool
find_in_recursion(Plan *plan, Plan *target, Place place, Place *found)
{
	if (find(outerPlan(plan), target, place, found))
		return true;
	place.once = false;
	return find(innerPlan(plan), target, place, found);
}

/*
 * The same below a node that reads one input, and then perhaps another.
 */
static bool
find_in_sequence(Plan *plan, Plan *target, Place place, Place *found)
{
	if (IsA(plan, SubqueryScan))
		return find(((SubqueryScan *) plan)->subplan, target, place, found);
	if (IsA(plan, Append))
		return find_in_list(((Append *) plan)->appendplans, target, place, found);
	if (IsA(plan, MergeAppend))
		return find_in_list(((MergeAppend *) plan)->mergeplans, target, place, found);
	return find_below(plan, target, place, found);
}

/*
 * Check whether an aggregation reads all of its input before it returns a row.
 */
static bool
reads_all_first(Agg * agg)
{
	return agg->aggstrategy == AGG_PLAIN || agg->aggstrategy == AGG_HASHED;
}

/*
 * Check whether a node stores all rows of its input before it returns one.
 */
static bool
is_storing(Plan *plan)
{
	return IsA(plan, Sort) || IsA(plan, Hash) ||
		(IsA(plan, Agg) && reads_all_first((Agg *) plan));
}

/*
 * Check whether a node takes no time between two rows of one of its inputs: itself, or
 * by another input, from which it reads in turn; or after the rows, if it may have "left"
 * that input.
 */
static bool
is_quick_above(Plan *plan, bool left)
{
	if (!dbl_quick_is_node(plan))
		return false;
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			return dbl_quick_is_plan(outerPlan(plan)) && dbl_quick_is_plan(innerPlan(plan));
		case T_MergeAppend:
			return dbl_quick_are_plans(((MergeAppend *) plan)->mergeplans);
		case T_Append:
			return !left || dbl_quick_are_plans(((Append *) plan)->appendplans);
		default:
			return true;
	}
}

/*
 * The inputs of a hash join.  The outer one is left after its first row if the inner one is
 * empty, and the other parts of the plan go on.
 */
static bool
find_in_hashjoin(HashJoin * join, Plan *target, Place place, Place *found)
{
	Place		inner_place = {.once = place.once, .last = place.last};

	if (find(outerPlan(join), target, place, found))
	{
		found->left |= !found->stored && !place.last;
		return true;
	}
	return find(innerPlan(join), target, inner_place, found);
}

/*
 * Look for "target" in the inputs of a node.
 */
static bool
find_in_node(Plan *plan, Plan *target, Place place, Place *found)
{
	Place		part = {.once = place.once};

	switch (nodeTag(plan))
	{
			/* These pass each row on. */
		case T_Result:
		case T_ProjectSet:
		case T_ModifyTable:
		case T_LockRows:
		case T_SubqueryScan:
			part.whole = place.whole;
			part.last = place.last && dbl_quick_is_node(plan);
			return find_in_sequence(plan, target, part, found);

			/* These may end before their inputs do. */
		case T_Limit:
		case T_MergeJoin:
			part.last = place.last;
			return find_below(plan, target, part, found);

		case T_HashJoin:
			return find_in_hashjoin((HashJoin *) plan, target, place, found);
		case T_NestLoop:
			return find_in_nestloop((NestLoop *) plan, target, place, found);

			/* These read all of their input first, and then go on. */
		case T_Agg:
			part.whole = reads_all_first((Agg *) plan) || place.whole;
			return find_below(plan, target, part, found);
		case T_Hash:
		case T_Sort:
			part.whole = true;
			return find_below(plan, target, part, found);

			/* This may end before its input does if it has a run condition. */
		case T_WindowAgg:
			if (((WindowAgg *) plan)->runCondition == NIL)
				part.whole = place.whole;
			else
				part.last = place.last && dbl_quick_is_node(plan);
			return find_below(plan, target, part, found);
		case T_RecursiveUnion:
			return find_in_recursion(plan, target, part, found);
		default:
			part.whole = place.whole;
			return find_in_sequence(plan, target, part, found);
	}
}

/*
 * Look for "target" in this part of a plan.  Returns whether it is there, and in
 * *found what holds for it.  Subqueries in expressions are not followed from here.
 */
static bool
find(Plan *plan, Plan *target, Place place, Place *found)
{
	if (plan == NULL)
		return false;
	if (plan == target)
	{
		*found = place;
		found->quick = dbl_quick_is_node(plan);
		found->stored = false;
		found->left = false;
		return true;
	}
	if (!find_in_node(plan, target, place, found))
		return false;
	if (!found->stored)
	{
		found->quick = found->quick && is_quick_above(plan, found->left);
		found->stored = is_storing(plan) && !found->left;
	}
	return true;
}

/*
 * Check whether a statement consists of one subquery, and expressions that take no
 * time.
 */
static bool
is_bare(PlannedStmt *stmt)
{
	Plan	   *plan = stmt->planTree;

	return list_length(stmt->subplans) == 1 &&
		IsA(plan, Result) && outerPlan(plan) == NULL && dbl_quick_is_node(plan);
}

/*
 * What holds for a scan in a statement; for nothing if it is not found.
 *
 * A subquery that depends on nothing outside is read once, or its rows are kept
 * where they are used.  (If they are not, the executor tells the scan so.)  Any other
 * may be run for each row outside.
 */
static Place
place_of(PlannedStmt *stmt, Plan *scan)
{
	Place		place = {.once = true, .whole = true, .last = true};
	Place		found = {0};

	if (find(stmt->planTree, scan, place, &found))
		return found;
	place.whole = false;
	place.last = is_bare(stmt);
	foreach_ptr(Plan, subplan, stmt->subplans)
	{
		if (subplan != NULL && bms_is_empty(subplan->extParam) &&
			find(subplan, scan, place, &found))
		{
			found.quick = found.quick && (!found.left || dbl_quick_is_plan(stmt->planTree));
			break;
		}
	}
	return found;
}

/*
 * Check whether the rows of a scan may be read again.  "eflags" is what the executor
 * says.
 *
 * Where rows that were locked are checked once more (EvalPlanQual), the plan is run
 * for each of them.
 */
bool
dbl_shape_is_read_again(Plan *scan, EState *estate, int eflags)
{
	return (eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK)) != 0 ||
		estate->es_epq_active != NULL ||
		!place_of(estate->es_plannedstmt, scan).once;
}

/*
 * Check whether a scan is read to its end, or the run is over when it is not.
 */
bool
dbl_shape_ends_with_run(Plan *scan, EState *estate)
{
	Place		place = place_of(estate->es_plannedstmt, scan);

	return place.whole || place.last;
}

/*
 * Check whether the subqueries of a statement are quick, except the one with the scan.
 */
static bool
are_subplans_quick(PlannedStmt *stmt, Plan *scan)
{
	Place		place = {0};
	Place		found;

	foreach_ptr(Plan, subplan, stmt->subplans)
	{
		if (!dbl_quick_is_plan(subplan) && !find(subplan, scan, place, &found))
			return false;
	}
	return true;
}

/*
 * Check whether the statement's rows go into its tables without a wait.
 */
static bool
are_targets_quick(ModifyTable * modify, EState *estate)
{
	bool		updates = modify->onConflictAction == ONCONFLICT_UPDATE;

	if (modify->operation != CMD_INSERT)
		return false;
	foreach_int(rti, modify->resultRelations)
	{
		if (!dbl_quick_is_target(dbl_target_relation(estate, rti), updates))
			return false;
	}
	return true;
}

/*
 * Check whether the plan takes no time between two rows of a scan: it may do so before
 * the first, or after the last.
 */
bool
dbl_shape_is_quick(Plan *scan, EState *estate)
{
	PlannedStmt *stmt = estate->es_plannedstmt;
	Place		place = place_of(stmt, scan);

	return place.quick && are_subplans_quick(stmt, scan) &&
		(place.stored || !IsA(stmt->planTree, ModifyTable) ||
		 are_targets_quick((ModifyTable *) stmt->planTree, estate));
}
