/*-------------------------------------------------------------------------
 *
 * reread.c
 *	  May a plan read the rows of a scan more than once?
 *
 * The executor tells a scan what it can foresee, but not that it may be below a
 * join that is itself read repeatedly, or in a subquery that is run for each row.
 * So the plan is looked at: rows need not be kept only if the scan is in a place
 * that is known to be read once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "executor/executor.h"
#include "nodes/plannodes.h"

static bool is_read_once(PlannedStmt *stmt, Plan *plan, Plan *target);

/*
 * Is "target" in this part of a plan, where nothing reads it more than once?
 *
 * The inner side of a nested loop is read again for each outer row, unless rows
 * are kept there by a Material node of its own, and so is what a recursive union
 * repeats.  An InitPlan or CTE is run once if it depends on nothing outside it;
 * other subqueries may be run again.
 */
static bool
is_read_once(PlannedStmt *stmt, Plan *plan, Plan *target)
{
	List	   *children = NIL;
	ListCell   *cell;

	if (plan == NULL)
		return false;
	if (plan == target)
		return true;

	children = lappend(children, outerPlan(plan));
	if (IsA(plan, Append))
		children = list_concat(children, ((Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		children = list_concat(children, ((MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		children = lappend(children, ((SubqueryScan *) plan)->subplan);
	else if (!IsA(plan, RecursiveUnion) &&
			 (!IsA(plan, NestLoop) || (IsA(innerPlan(plan), Material) &&
									   ((NestLoop *) plan)->nestParams == NIL)))
		children = lappend(children, innerPlan(plan));

	foreach(cell, plan->initPlan)
	{
		Plan	   *subplan = list_nth(stmt->subplans,
									   lfirst_node(SubPlan, cell)->plan_id - 1);

		if (subplan != NULL && bms_is_empty(subplan->extParam))
			children = lappend(children, subplan);
	}

	foreach(cell, children)
	{
		if (is_read_once(stmt, lfirst(cell), target))
			return true;
	}
	return false;
}

/*
 * May the rows of a scan be read again?  "eflags" is what the executor says.
 *
 * Where rows that were locked are checked once more (EvalPlanQual), the plan is
 * run for each of them.
 */
bool
dbl_reread_is_possible(Plan *scan, EState *estate, int eflags)
{
	PlannedStmt *stmt = estate->es_plannedstmt;

	return (eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK)) != 0 ||
		estate->es_epq_active != NULL ||
		!is_read_once(stmt, stmt->planTree, scan);
}
