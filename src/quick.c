/*-------------------------------------------------------------------------
 *
 * quick.c
 *	  What in a plan may take its time.
 *
 * While rows stream, the remote statement is open, with what it holds, and its
 * time limits run.  A slow reader is noticed when it asks for the next row.  But a
 * plan may be busy, or wait, for any time before that: a function sleeps or reads a
 * table, an aggregate of millions of rows is made for a join, a row to be inserted
 * waits for another session's, which may itself wait for what the remote statement
 * holds.  What can do so is looked for here.
 *
 * What is quick is what the server computes from values at hand.  Functions of users
 * are, if they are written in C and not volatile: those are types and operators.  Of
 * all that reads tables, the planner's estimate is taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What a part of a plan may cost, by the planner's estimate: some ten milliseconds. */
#define QUICK_COST		10000.0

/* The server's volatile functions that wait for nothing. */
static const Oid quick_volatile[] = {
	F_NEXTVAL, F_CURRVAL, F_LASTVAL, F_CLOCK_TIMESTAMP, F_GEN_RANDOM_UUID, F_RANDOM_
};

/*
 * Check whether a function of the server's is quick.
 */
static bool
is_own_quick(Oid funcid)
{
	if (func_volatile(funcid) != PROVOLATILE_VOLATILE)
		return true;
	for (int i = 0; i < lengthof(quick_volatile); i++)
	{
		if (funcid == quick_volatile[i])
			return true;
	}
	return false;
}

/*
 * Checker for check_functions_in_node(): find a function that may take its time.
 */
static bool
is_slow_function(Oid funcid, void *context)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		is_quick;

	if (funcid < FirstUnpinnedObjectId)
		return !is_own_quick(funcid);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		return true;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	is_quick = (proc->prolang == ClanguageId || proc->prolang == INTERNALlanguageId) &&
		proc->provolatile != PROVOLATILE_VOLATILE && proc->prokind != PROKIND_AGGREGATE;
	ReleaseSysCache(tuple);
	return !is_quick;
}

/*
 * Check whether a function may return any number of rows, however small its arguments
 * are: generate_series() does.  If those are constants, the planner knows how many.
 */
static bool
is_endless(FuncExpr *call)
{
	if (!call->funcretset || call->funcid >= FirstUnpinnedObjectId ||
		strcmp(get_func_name(call->funcid), "generate_series") != 0)
		return false;
	foreach_ptr(Node, arg, call->args)
	{
		if (!IsA(arg, Const))
			return true;
	}
	return false;
}

static bool is_checked(Oid type);

/*
 * Check whether values of a column of a row type are checked, as is_checked() says.
 */
static bool
is_column_checked(Oid type)
{
	TupleDesc	tupdesc = lookup_rowtype_tupdesc(type, -1);
	bool		checked = false;
	int			i;

	for (i = 0; i < tupdesc->natts && !checked; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		checked = !att->attisdropped && is_checked(att->atttypid);
	}
	ReleaseTupleDesc(tupdesc);
	return checked;
}

/*
 * Check whether values of a type are checked when they are made: it is, or has in it, a
 * domain with constraints.  Those are not looked at.
 */
static bool
is_checked(Oid type)
{
	Oid			element;

	if (type < FirstUnpinnedObjectId)
		return false;
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			return dbl_domain_has_constraints(type) || is_checked(getBaseType(type));
		case TYPTYPE_COMPOSITE:
			return is_column_checked(type);
		case TYPTYPE_RANGE:
			return is_checked(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return is_checked(get_multirange_range(type));
		default:
			element = get_element_type(type);
			return OidIsValid(element) && is_checked(element);
	}
}

/*
 * Check whether values of one of several types are checked.
 */
static bool
is_any_checked(List *types)
{
	ListCell   *cell;

	foreach(cell, types)
	{
		if (is_checked(lfirst_oid(cell)))
			return true;
	}
	return false;
}

/*
 * Walker: find what may take its time.
 */
static bool
find_slow(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			if (is_endless((FuncExpr *) node) || is_checked(exprType(node)))
				return true;
			break;
		case T_CoerceViaIO:
		case T_CoerceToDomain:
			if (is_checked(exprType(node)))
				return true;
			break;
		case T_RangeTblFunction:
			if (is_any_checked(((RangeTblFunction *) node)->funccoltypes))
				return true;
			break;
		case T_TableFunc:
			if (is_any_checked(((TableFunc *) node)->coltypes))
				return true;
			break;
		default:
			break;
	}
	return check_functions_in_node(node, is_slow_function, context) ||
		expression_tree_walker(node, find_slow, context);
}

/*
 * Check whether all of these expressions, or this one, are quick.
 */
static bool
are_quick(void *exprs)
{
	return !find_slow(exprs, NULL);
}

/*
 * Check whether all of these operators, with which rows are compared, are quick.
 */
static bool
are_operators_quick(const Oid *operators, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (is_slow_function(get_opcode(operators[i]), NULL))
			return false;
	}
	return true;
}

/*
 * Check whether what a node itself computes is quick, for each of its rows.  We take a
 * node that is not known here for a slow one.
 */
bool
dbl_quick_is_node(Plan *plan)
{
	if (!are_quick(plan->targetlist) || !are_quick(plan->qual))
		return false;
	switch (nodeTag(plan))
	{
		case T_Append:
		case T_BitmapAnd:
		case T_BitmapOr:
		case T_CteScan:
		case T_Gather:
		case T_Material:
		case T_NamedTuplestoreScan:
		case T_ProjectSet:
		case T_SeqScan:
		case T_SubqueryScan:
		case T_WorkTableScan:
			return true;
		case T_CustomScan:
			return strcmp(((CustomScan *) plan)->methods->CustomName, "dblink") == 0;
		case T_Agg:
			return are_operators_quick(((Agg *) plan)->grpOperators, ((Agg *) plan)->numCols);
		case T_Group:
			return are_operators_quick(((Group *) plan)->grpOperators, ((Group *) plan)->numCols);
		case T_Unique:
			return are_operators_quick(((Unique *) plan)->uniqOperators, ((Unique *) plan)->numCols);
		case T_SetOp:
			return are_operators_quick(dbl_setop_operators((SetOp *) plan), ((SetOp *) plan)->numCols);
		case T_RecursiveUnion:
			return are_operators_quick(((RecursiveUnion *) plan)->dupOperators,
									   ((RecursiveUnion *) plan)->numCols);
		case T_Sort:
		case T_IncrementalSort: /* begins with a Sort */
			return are_operators_quick(((Sort *) plan)->sortOperators, ((Sort *) plan)->numCols);
		case T_MergeAppend:
			return are_operators_quick(((MergeAppend *) plan)->sortOperators,
									   ((MergeAppend *) plan)->numCols);
		case T_GatherMerge:
			return are_operators_quick(((GatherMerge *) plan)->sortOperators,
									   ((GatherMerge *) plan)->numCols);
		case T_Memoize:
			return are_quick(((Memoize *) plan)->param_exprs) &&
				are_operators_quick(((Memoize *) plan)->hashOperators, ((Memoize *) plan)->numKeys);
		case T_Limit:
			return are_quick(((Limit *) plan)->limitOffset) &&
				are_quick(((Limit *) plan)->limitCount);
		case T_WindowAgg:
			return are_quick(((WindowAgg *) plan)->runCondition) &&
				are_quick(((WindowAgg *) plan)->startOffset) &&
				are_quick(((WindowAgg *) plan)->endOffset) &&
				are_operators_quick(((WindowAgg *) plan)->partOperators, ((WindowAgg *) plan)->partNumCols) &&
				are_operators_quick(((WindowAgg *) plan)->ordOperators, ((WindowAgg *) plan)->ordNumCols);
		case T_ModifyTable:
			return are_quick(((ModifyTable *) plan)->returningLists) &&
				are_quick(((ModifyTable *) plan)->withCheckOptionLists) &&
				are_quick(((ModifyTable *) plan)->onConflictSet) &&
				are_quick(((ModifyTable *) plan)->onConflictWhere);
		case T_Result:
			return are_quick(((Result *) plan)->resconstantqual);
		case T_NestLoop:
			return are_quick(((NestLoop *) plan)->join.joinqual);
		case T_MergeJoin:
			return are_quick(((MergeJoin *) plan)->join.joinqual) &&
				are_quick(((MergeJoin *) plan)->mergeclauses);
		case T_HashJoin:
			return are_quick(((HashJoin *) plan)->join.joinqual) &&
				are_quick(((HashJoin *) plan)->hashclauses);
		case T_Hash:
			return are_quick(((Hash *) plan)->hashkeys);
		case T_IndexScan:
			return are_quick(((IndexScan *) plan)->indexqualorig) &&
				are_quick(((IndexScan *) plan)->indexorderbyorig);
		case T_IndexOnlyScan:
			return are_quick(((IndexOnlyScan *) plan)->indexqual) &&
				are_quick(((IndexOnlyScan *) plan)->indexorderby);
		case T_BitmapIndexScan:
			return are_quick(((BitmapIndexScan *) plan)->indexqualorig);
		case T_BitmapHeapScan:
			return are_quick(((BitmapHeapScan *) plan)->bitmapqualorig);
		case T_TidScan:
			return are_quick(((TidScan *) plan)->tidquals);
		case T_TidRangeScan:
			return are_quick(((TidRangeScan *) plan)->tidrangequals);
		case T_SampleScan:
			return are_quick(((SampleScan *) plan)->tablesample);
		case T_FunctionScan:
			return are_quick(((FunctionScan *) plan)->functions);
		case T_TableFuncScan:
			return are_quick(((TableFuncScan *) plan)->tablefunc);
		case T_ValuesScan:
			return are_quick(((ValuesScan *) plan)->values_lists);
		case T_LockRows:		/* may wait for another session */
		case T_ForeignScan:
		default:
			return false;
	}
}

/*
 * Check whether all of these parts of a plan are quick.
 */
bool
dbl_quick_are_plans(List *plans)
{
	foreach_ptr(Plan, part, plans)
	{
		if (!dbl_quick_is_plan(part))
			return false;
	}
	return true;
}

/*
 * Check whether a part of a plan is quick: by its estimate, and in what it computes.
 * What a scan of ours takes is the remote's time.
 */
bool
dbl_quick_is_plan(Plan *plan)
{
	if (plan == NULL)
		return true;
	if (plan->total_cost > QUICK_COST || !dbl_quick_is_node(plan) ||
		!dbl_quick_is_plan(outerPlan(plan)) || !dbl_quick_is_plan(innerPlan(plan)))
		return false;
	switch (nodeTag(plan))
	{
		case T_SubqueryScan:
			return dbl_quick_is_plan(((SubqueryScan *) plan)->subplan);
		case T_Append:
			return dbl_quick_are_plans(((Append *) plan)->appendplans);
		case T_MergeAppend:
			return dbl_quick_are_plans(((MergeAppend *) plan)->mergeplans);
		case T_ModifyTable:
			return false;
		default:
			return true;
	}
}

/*
 * Check whether no other session can have inserted rows that are not committed or, if
 * rows are updated, too, have locked one: it would need a lock that conflicts with ours.
 */
static bool
is_ours_alone(Relation table, bool updates)
{
	return RELATION_IS_LOCAL(table) ||
		CheckRelationLockedByMe(table, updates ? ExclusiveLock : ShareRowExclusiveLock, true);
}

/*
 * Check whether an index can neither make an insertion wait for another session's, nor
 * computes anything that may take its time.
 */
static bool
is_quick_index(Oid indexid, bool waits)
{
	Relation	index = index_open(indexid, AccessShareLock);
	bool		is_quick;

	is_quick = !(waits && (index->rd_index->indisunique || index->rd_index->indisexclusion)) &&
		are_quick(RelationGetIndexExpressions(index)) &&
		are_quick(RelationGetIndexPredicate(index));
	index_close(index, NoLock);
	return is_quick;
}

/*
 * The same of what a table computes for a row itself: its checks and generated columns.
 */
static bool
is_quick_constr(const TupleConstr * constr)
{
	if (constr == NULL)
		return true;
	for (int i = 0; i < constr->num_check; i++)
	{
		if (!are_quick(stringToNode(constr->check[i].ccbin)))
			return false;
	}
	for (int i = 0; constr->has_generated_stored && i < constr->num_defval; i++)
	{
		if (!are_quick(stringToNode(constr->defval[i].adbin)))
			return false;
	}
	return true;
}

/*
 * Check whether the triggers of a table let a row in without running anything that may
 * take its time.  One that is fired after the rows is not run with each, but its condition
 * is looked at.
 */
static bool
are_triggers_quick(const TriggerDesc * triggers, bool updates)
{
	int			i;

	if (triggers == NULL)
		return true;
	if (triggers->trig_insert_before_row || triggers->trig_insert_instead_row ||
		(updates && triggers->trig_update_before_row))
		return false;
	for (i = 0; i < triggers->numtriggers; i++)
	{
		const char *when = triggers->triggers[i].tgqual;

		if (when != NULL && !are_quick(stringToNode(when)))
			return false;
	}
	return true;
}

/*
 * Check whether rows can be inserted into this table without a wait, or with "updates"
 * update others.  Only what is done for each row counts, not what is done after the last.
 */
bool
dbl_quick_is_target(Relation table, bool updates)
{
	bool		waits = !is_ours_alone(table, updates);
	List	   *indexes;

	if (table->rd_rel->relkind != RELKIND_RELATION ||
		!are_triggers_quick(table->trigdesc, updates) ||
		!is_quick_constr(RelationGetDescr(table)->constr))
		return false;
	indexes = RelationGetIndexList(table);
	foreach_oid(index, indexes)
	{
		if (!is_quick_index(index, waits))
			return false;
	}
	list_free(indexes);
	return true;
}
