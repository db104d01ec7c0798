/*-------------------------------------------------------------------------
 *
 * planner.c
 *	  The streaming scan in the planner.
 *
 * The planner is given a custom scan in place of the function scan of dblink(),
 * dblink_fetch() and dblink_get_result(), and of dblink_query(), dblink_query_as() and
 * dblink_gather(), at the same cost.  (The planner
 * may put a Material node on it where a nested loop reads it again: it knows that
 * a function scan keeps its rows, but not what a custom scan does.)
 *
 * Where the two could be told apart, as far as the planner can know, the function
 * scan stays (is_streamable).  What is not known before the arguments are is decided
 * when the scan starts, in scan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static set_rel_pathlist_hook_type previous_hook = NULL;

/* The functions that a scan can take the place of; see dbl_plan_init(). */
static const DblinkScannable *scannable_functions = NULL;

/*
 * The entry for the C function of this name; NULL if it is none of ours.
 */
static const DblinkScannable *
find_symbol(const char *symbol)
{
	const DblinkScannable *entry;

	for (entry = scannable_functions; entry->function != DBLINK_SCAN_NONE; entry++)
	{
		if (strcmp(entry->symbol, symbol) == 0)
			return entry;
	}
	return NULL;
}

/*
 * The entry for a function's C code, by its name; NULL if it has none of ours.
 */
static const DblinkScannable *
find_by_name(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	const DblinkScannable *entry = NULL;
	Datum		prosrc;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		prosrc = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		if (!isnull)
			entry = find_symbol(TextDatumGetCString(prosrc));
	}
	ReleaseSysCache(tuple);
	return entry;
}

/*
 * Return the entry of the function that this is, NULL if it is none of ours.  Users
 * declare functions of their own on our symbols, under any name, and there may be others
 * of our names, so we compare the address of its code.  A function with SECURITY DEFINER
 * or SET is run through a handler of the server's, and is none of ours then.
 *
 * To know the address is to load the function's library, so this must come after the
 * check of the privilege to execute it.
 */
static const DblinkScannable *
find_scannable(Oid funcid)
{
	const DblinkScannable *entry = find_by_name(funcid);
	FmgrInfo	finfo;

	if (entry == NULL ||
		object_aclcheck(ProcedureRelationId, funcid, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		return NULL;
	fmgr_info(funcid, &finfo);
	if (finfo.fn_strict == entry->takes_params || !finfo.fn_retset ||
		finfo.fn_addr != entry->address)
		return NULL;
	return entry;
}

/*
 * Check whether fail_on_error is known to be true.
 */
static bool
is_true(Node *flag)
{
	return IsA(flag, Const) && !((Const *) flag)->constisnull &&
		DatumGetBool(((Const *) flag)->constvalue);
}

/*
 * Check whether the arguments have one of the forms of the extension's script, and
 * fail_on_error is not given, or known to be true.
 */
static bool
are_arguments_streamable(const DblinkScannable *entry, List *args)
{
	DblinkArgMap map;

	if (args == NIL ||
		!dbl_args_map_call(entry, list_length(args), exprType(llast(args)) == BOOLOID,
						   &map))
		return false;
	if (map.flag >= 0 &&
		(exprType(llast(args)) != BOOLOID || !is_true(llast(args))))
		return false;
	if (map.name >= 0 ?
		exprType(list_nth(args, map.name)) != (entry->takes_array ? TEXTARRAYOID : TEXTOID) :
		entry->needs_name)
		return false;
	for (int i = 0; i < entry->nfixed; i++)
	{
		if (exprType(list_nth(args, map.first + i)) != entry->fixed[i])
			return false;
	}
	return true;
}

/*
 * Return the expressions in which columns of the relation are used.
 */
static List *
used_exprs(RelOptInfo *rel)
{
	List	   *clauses = list_concat_copy(rel->baserestrictinfo, rel->joininfo);

	return list_concat(extract_actual_clauses(clauses, false), rel->reltarget->exprs);
}

/*
 * Check whether a whole row of the relation is used anywhere, because a scan has
 * columns only.
 */
static bool
is_whole_row_used(RelOptInfo *rel, Index rti)
{
	Bitmapset  *attrs = NULL;

	pull_varattnos((Node *) used_exprs(rel), rti, &attrs);
	return bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, attrs);
}

/* The context of is_column_stale(). */
typedef struct StaleContext
{
	Index		rti;			/* the function's relation */
	TupleDesc	tupdesc;		/* its row type, as it is now */
} StaleContext;

/*
 * Walker: find a column of the relation that its row type does not have any more, or
 * not of that type.
 */
static bool
is_column_stale(Node *node, void *context)
{
	StaleContext *stale = context;
	Var		   *var = (Var *) node;
	Form_pg_attribute att;

	if (node == NULL)
		return false;
	if (!IsA(node, Var))
		return expression_tree_walker(node, is_column_stale, context);
	if (var->varno != stale->rti || var->varlevelsup != 0 || var->varattno <= 0)
		return false;
	if (var->varattno > stale->tupdesc->natts)
		return true;
	att = TupleDescAttr(stale->tupdesc, var->varattno - 1);
	return att->attisdropped || att->atttypid != var->vartype;
}

/*
 * Check whether all columns of the relation that are used are in its row type as it
 * is now.  If the type was changed after the statement was parsed, the function scan
 * stays, because the executor has an error for that.
 */
static bool
are_columns_current(RelOptInfo *rel, Index rti, TupleDesc tupdesc)
{
	StaleContext stale = {.rti = rti, .tupdesc = tupdesc};

	return !is_column_stale((Node *) used_exprs(rel), &stale);
}

/*
 * Check whether rows of the function's type may be streamed: that of a column
 * definition list, or for dblink_query_as() a row type with a name, or a scalar.  A
 * domain over a row type is checked on whole rows, which a scan does not have.
 */
static bool
is_row_type_streamable(RelOptInfo *rel, Index rti, RangeTblFunction *rtfunc,
					   const DblinkScannable *entry)
{
	FuncExpr   *expr = (FuncExpr *) rtfunc->funcexpr;
	TupleDesc	tupdesc;

	if (entry->function != DBLINK_SCAN_QUERY_AS)
		return rtfunc->funccoltypes != NIL && expr->funcresulttype == RECORDOID;
	if (rtfunc->funccoltypes != NIL || expr->funcresulttype == RECORDOID)
		return false;
	switch (get_expr_result_type((Node *) expr, NULL, &tupdesc))
	{
		case TYPEFUNC_SCALAR:
			return true;
		case TYPEFUNC_COMPOSITE:
			return are_columns_current(rel, rti, tupdesc);
		default:
			return false;
	}
}

/*
 * Check whether this relation can be streamed, as far as the planner can know: it is
 * one of our functions, alone, with a row type that is known, and with arguments that
 * are known before the scan starts.
 */
static bool
is_streamable(RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	RangeTblFunction *rtfunc;
	FuncExpr   *expr;
	const DblinkScannable *entry;

	if (dbl_streaming == DBLINK_STREAMING_OFF ||
		rte->rtekind != RTE_FUNCTION || !IS_SIMPLE_REL(rel) ||
		list_length(rte->functions) != 1 || rte->funcordinality ||
		!bms_is_empty(rel->lateral_relids))
		return false;

	rtfunc = linitial_node(RangeTblFunction, rte->functions);
	expr = (FuncExpr *) rtfunc->funcexpr;
	if (!IsA(expr, FuncExpr))
		return false;

	entry = find_scannable(expr->funcid);
	return entry != NULL &&
		is_row_type_streamable(rel, rti, rtfunc, entry) &&
		are_arguments_streamable(entry, expr->args) &&
		!contain_var_clause((Node *) expr->args) &&
		!contain_subplans((Node *) expr->args) &&
		!is_whole_row_used(rel, rti);
}

/*
 * Return the type of the scan's rows: that of the column definition list if there is one,
 * else their own, or one column of the scalar.
 */
static TupleDesc
row_type(RangeTblFunction *rtfunc)
{
	Node	   *expr = rtfunc->funcexpr;
	TupleDesc	tupdesc;

	if (rtfunc->funccoltypes != NIL)
		return BuildDescFromLists(rtfunc->funccolnames, rtfunc->funccoltypes,
								  rtfunc->funccoltypmods, rtfunc->funccolcollations);
	if (get_expr_result_type(expr, NULL, &tupdesc) == TYPEFUNC_COMPOSITE)
		return tupdesc;
	return BuildDescFromLists(list_make1(makeString("value")), list_make1_oid(exprType(expr)),
							  list_make1_int(exprTypmod(expr)),
							  list_make1_oid(exprCollation(expr)));
}

/*
 * The columns of the scan, without those of the row type that were dropped.
 */
static List *
scan_tlist(Index rti, RangeTblFunction *rtfunc)
{
	List	   *tlist = NIL;
	TupleDesc	tupdesc = row_type(rtfunc);

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		Var		   *var;

		if (att->attisdropped)
			continue;
		var = makeVar(rti, att->attnum, att->atttypid, att->atttypmod,
					  att->attcollation, 0);
		tlist = lappend(tlist, makeTargetEntry((Expr *) var, list_length(tlist) + 1,
											   pstrdup(NameStr(att->attname)), false));
	}
	return tlist;
}

/*
 * The path was chosen: make the plan node.  What the scan needs of the function
 * is its call expression, and which of ours it is; EXPLAIN needs its alias.
 */
static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
		  List *clauses, List *custom_plans)
{
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);
	RangeTblFunction *rtfunc = linitial_node(RangeTblFunction, rte->functions);
	FuncExpr   *expr = (FuncExpr *) rtfunc->funcexpr;
	const DblinkScannable *entry = find_by_name(expr->funcid);
	Oid			relid = get_typ_typrelid(expr->funcresulttype);
	CustomScan *cscan = makeNode(CustomScan);

	/* When the row type changes, a plan that is kept has to be made anew. */
	if (OidIsValid(relid))
		root->glob->relationOids = lappend_oid(root->glob->relationOids, relid);

	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = extract_actual_clauses(clauses, false);
	cscan->scan.scanrelid = 0;
	cscan->flags = path->flags;
	cscan->custom_exprs = list_make1(rtfunc->funcexpr);
	cscan->custom_private = list_make2(makeInteger(entry->function),
									   makeString(pstrdup(rte->eref->aliasname)));
	cscan->custom_scan_tlist = scan_tlist(rel->relid, rtfunc);
	cscan->methods = &dbl_scan_methods;
	return &cscan->scan.plan;
}

static const CustomPathMethods path_methods = {
	.CustomName = "dblink",
	.PlanCustomPath = plan_scan
};

/*
 * Check whether this is the subquery of an ANY or ALL (or IN).  Those are the ones of
 * which the planner expects to read half the rows.  If it can't be hashed, it is read on
 * and off while the plan goes on, and its rows must be kept.  The planner would have a
 * custom scan's kept once more, by a Material node.
 */
static bool
is_of_any(PlannerInfo *root)
{
	return root->parent_root != NULL && root->tuple_fraction == 0.5;
}

/*
 * Planner hook: replace the path of a function scan.  Its costs stay.
 */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	Path	   *replaced;
	CustomPath *path;

	if (previous_hook)
		previous_hook(root, rel, rti, rte);
	if (list_length(rel->pathlist) != 1 || is_of_any(root) ||
		!is_streamable(rel, rti, rte))
		return;
	replaced = linitial(rel->pathlist);
	if (replaced->pathtype != T_FunctionScan || replaced->param_info != NULL)
		return;

	path = makeNode(CustomPath);
	path->path = *replaced;
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION |
		CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
	path->methods = &path_methods;
	rel->pathlist = list_make1(path);
}

/*
 * Called once, when the library is loaded, with the functions that a scan can take the
 * place of.
 */
void
dbl_plan_init(const DblinkScannable *functions)
{
	scannable_functions = functions;
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_scan_path;
}
