/*-------------------------------------------------------------------------
 *
 * planner.c
 *	  The streaming scan in the planner.
 *
 * The planner is given a custom scan in place of the function scan of dblink(),
 * dblink_fetch() and dblink_get_result(), at the same cost.  (The planner
 * may put a Material node on it where a nested loop reads it again: it knows that
 * a function scan keeps its rows, but not what a custom scan does.)
 *
 * Where the two could be told apart, as far as the planner can know, the function
 * scan stays (is_streamable); what
 * is not known before the arguments are, is decided when the scan starts, in
 * scan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/syscache.h"

static set_rel_pathlist_hook_type previous_hook = NULL;

static DblinkScanned scanned_function(Oid funcid);
static bool are_arguments_streamable(DblinkScanned function, List *args);
static bool is_whole_row_used(RelOptInfo *rel, Index rti);
static bool is_streamable(RelOptInfo *rel, Index rti, RangeTblEntry *rte);
static List *scan_tlist(Index rti, RangeTblEntry *rte, RangeTblFunction *rtfunc);
static Plan *plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
					   List *clauses, List *custom_plans);
static void add_scan_path(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte);

static const CustomPathMethods path_methods = {
	.CustomName = "dblink",
	.PlanCustomPath = plan_scan
};

/*
 * Which of our functions is this?  Users declare functions of their own on our
 * symbols, under any name, and there may be others of our names: so it is told
 * by the address of its code.  A function with SECURITY DEFINER or SET is run
 * through a handler of the server's, and is none of ours then.
 */
static DblinkScanned
scanned_function(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool		is_c;
	FmgrInfo	finfo;

	if (!HeapTupleIsValid(tuple))
		return DBLINK_SCAN_NONE;
	is_c = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId;
	ReleaseSysCache(tuple);
	if (!is_c)
		return DBLINK_SCAN_NONE;

	fmgr_info(funcid, &finfo);
	if (!finfo.fn_strict || !finfo.fn_retset)
		return DBLINK_SCAN_NONE;
	if (finfo.fn_addr == dblink_record)
		return DBLINK_SCAN_RECORD;
	if (finfo.fn_addr == dblink_fetch)
		return DBLINK_SCAN_FETCH;
	if (finfo.fn_addr == dblink_get_result)
		return DBLINK_SCAN_GET_RESULT;
	return DBLINK_SCAN_NONE;
}

/*
 * Do the arguments have one of the forms of the extension's script, and is
 * fail_on_error not given, or known to be true?
 */
static bool
are_arguments_streamable(DblinkScanned function, List *args)
{
	int			n = list_length(args);
	int			least = function == DBLINK_SCAN_FETCH ? 2 : 1;
	int			most = function == DBLINK_SCAN_GET_RESULT ? 1 : least + 1;
	int			i;

	if (n > 0 && exprType(llast(args)) == BOOLOID)
	{
		Const	   *flag = (Const *) llast(args);

		if (!IsA(flag, Const) || flag->constisnull ||
			!DatumGetBool(flag->constvalue))
			return false;
		n--;
	}
	if (n < least || n > most)
		return false;
	for (i = 0; i < n; i++)
	{
		bool		is_count = (function == DBLINK_SCAN_FETCH && i == n - 1);
		Oid			wanted = is_count ? INT4OID : TEXTOID;

		if (exprType(list_nth(args, i)) != wanted)
			return false;
	}
	return true;
}

/*
 * Is a whole row of the relation used anywhere?  A scan has columns only.
 */
static bool
is_whole_row_used(RelOptInfo *rel, Index rti)
{
	Bitmapset  *attrs = NULL;
	List	   *clauses = list_concat_copy(rel->baserestrictinfo, rel->joininfo);
	ListCell   *cell;

	pull_varattnos((Node *) rel->reltarget->exprs, rti, &attrs);
	foreach(cell, clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rti,
					   &attrs);
	return bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, attrs);
}

/*
 * As far as the planner can know, may this relation be streamed?  It is one of
 * our functions, alone, with a column definition list, and with arguments that
 * are known before the scan starts.
 */
static bool
is_streamable(RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	RangeTblFunction *rtfunc;
	FuncExpr   *expr;
	DblinkScanned function;

	if (dbl_streaming == DBLINK_STREAMING_OFF ||
		rte->rtekind != RTE_FUNCTION || !IS_SIMPLE_REL(rel) ||
		list_length(rte->functions) != 1 || rte->funcordinality ||
		!bms_is_empty(rel->lateral_relids))
		return false;

	rtfunc = linitial_node(RangeTblFunction, rte->functions);
	expr = (FuncExpr *) rtfunc->funcexpr;
	if (!IsA(expr, FuncExpr) || rtfunc->funccoltypes == NIL ||
		expr->funcresulttype != RECORDOID)
		return false;

	function = scanned_function(expr->funcid);
	return function != DBLINK_SCAN_NONE &&
		are_arguments_streamable(function, expr->args) &&
		!contain_var_clause((Node *) expr->args) &&
		!contain_subplans((Node *) expr->args) &&
		!is_whole_row_used(rel, rti);
}

/*
 * The columns of the scan, which are those of the column definition list.
 */
static List *
scan_tlist(Index rti, RangeTblEntry *rte, RangeTblFunction *rtfunc)
{
	List	   *tlist = NIL;
	int			natts = list_length(rtfunc->funccoltypes);
	int			i;

	for (i = 0; i < natts; i++)
	{
		Var		   *var = makeVar(rti, i + 1,
								  list_nth_oid(rtfunc->funccoltypes, i),
								  list_nth_int(rtfunc->funccoltypmods, i),
								  list_nth_oid(rtfunc->funccolcollations, i), 0);

		tlist = lappend(tlist,
						makeTargetEntry((Expr *) var, i + 1,
										strVal(list_nth(rtfunc->funccolnames, i)),
										false));
	}
	return tlist;
}

/*
 * The path was chosen: make the plan node.  What the scan needs of the function
 * is its call expression, and which of ours it is.
 */
static Plan *
plan_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
		  List *clauses, List *custom_plans)
{
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);
	RangeTblFunction *rtfunc = linitial_node(RangeTblFunction, rte->functions);
	CustomScan *cscan = makeNode(CustomScan);

	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = extract_actual_clauses(clauses, false);
	cscan->scan.scanrelid = 0;
	cscan->flags = path->flags;
	cscan->custom_exprs = list_make1(rtfunc->funcexpr);
	cscan->custom_private =
		list_make1_int(scanned_function(((FuncExpr *) rtfunc->funcexpr)->funcid));
	cscan->custom_scan_tlist = scan_tlist(rel->relid, rte, rtfunc);
	cscan->methods = &dbl_scan_methods;
	return &cscan->scan.plan;
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
	if (list_length(rel->pathlist) != 1 || !is_streamable(rel, rti, rte))
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
 * Called once, when the library is loaded.
 */
void
dbl_plan_init(void)
{
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_scan_path;
}
