/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  The streaming scan in EXPLAIN.
 *
 * It is shown as what it takes the place of, the function; with the connection, and the
 * text that is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/* A scan that is shown. */
typedef struct Shown
{
	CustomScan *cscan;
	FuncExpr   *call;			/* the function call that is scanned */
	List	   *context;		/* for deparsing its arguments */
	ExplainState *es;
} Shown;

/*
 * An argument, if it is a constant string; else NULL.
 */
static const char *
constant_string(Const *arg)
{
	if (!IsA(arg, Const) || arg->constisnull || arg->consttype != TEXTOID)
		return NULL;
	return TextDatumGetCString(arg->constvalue);
}

/*
 * The argument with this index as an expression.
 */
static const char *
deparse_argument(const Shown *shown, int i)
{
	return deparse_expression(list_nth(shown->call->args, i), shown->context,
							  shown->es->verbose || list_length(shown->es->rtable) > 1,
							  false);
}

/*
 * Show an argument, as a string if it is one, else as an expression.
 */
static void
show_argument(const Shown *shown, const char *label, int i)
{
	const char *string = constant_string(list_nth(shown->call->args, i));

	ExplainPropertyText(label, string != NULL ? string : deparse_argument(shown, i),
						shown->es);
}

/*
 * Check whether a connection is shown: if it is an open one or a foreign server.  It may
 * be a conninfo string, which is never shown.
 */
static bool
is_shown(const char *name)
{
	return name != NULL &&
		(dbl_reg_find(name) != NULL ||
		 (strlen(name) < NAMEDATALEN && GetForeignServerByName(name, true) != NULL));
}

/*
 * Show the connections of an array, if all of them are.
 */
static void
show_connections(const Shown *shown)
{
	Const	   *arg = linitial(shown->call->args);
	List	   *conns = NIL;
	Datum	   *names;
	bool	   *nulls;
	int			n;

	if (!IsA(arg, Const) || arg->constisnull || arg->consttype != TEXTARRAYOID)
		return;
	deconstruct_array(DatumGetArrayTypeP(arg->constvalue), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? NULL : TextDatumGetCString(names[i]);

		if (!is_shown(name))
			return;
		conns = lappend(conns, name);
	}
	ExplainPropertyList("Connections", conns, shown->es);
}

/*
 * Show the function and its alias, in the words that a function scan has for them.
 */
static void
show_function(const Shown *shown)
{
	const char *function = get_func_name(shown->call->funcid);
	const char *alias = strVal(lsecond(shown->cscan->custom_private));
	const char *quoted = quote_identifier(function);

	if (shown->es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyText("Function Name", function, shown->es);
		ExplainPropertyText("Alias", alias, shown->es);
		return;
	}
	if (strcmp(function, alias) != 0)
		quoted = psprintf("%s %s", quoted, quote_identifier(alias));
	ExplainPropertyText("Function", quoted, shown->es);
}

/*
 * Show the parameters, which are the arguments from this index on, as expressions.
 */
static void
show_parameters(const Shown *shown, int first)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = first; i < list_length(shown->call->args); i++)
		appendStringInfo(&buf, "%s%s%s", i > first ? ", " : "",
						 shown->call->funcvariadic ? "VARIADIC " : "",
						 deparse_argument(shown, i));
	if (buf.len > 0)
		ExplainPropertyText("Parameters", buf.data, shown->es);
}

/*
 * Show what a scan calls: "entry", with its arguments where "map" says.
 */
void
dbl_explain_call(Plan *plan, const DblinkScannable *entry, const DblinkArgMap *map,
				 List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) plan;
	Shown		shown = {
		.cscan = cscan,
		.call = linitial_node(FuncExpr, cscan->custom_exprs),
		.context = set_deparse_context_plan(es->deparse_cxt, plan, ancestors),
		.es = es
	};
	const char *name;

	show_function(&shown);
	if (entry->takes_array)
		show_connections(&shown);
	else if (map->name >= 0)
	{
		name = constant_string(list_nth(shown.call->args, map->name));
		if (is_shown(name))
			ExplainPropertyText("Connection", name, es);
	}
	if (map->first < list_length(shown.call->args) &&
		(entry->function == DBLINK_SCAN_RECORD || entry->takes_params))
		show_argument(&shown, "Remote SQL", map->first);
	if (entry->takes_params)
		show_parameters(&shown, map->first + 1);
	if (entry->function == DBLINK_SCAN_FETCH)
	{
		show_argument(&shown, "Remote Cursor", map->first);
		show_argument(&shown, "Rows to Fetch", map->first + 1);
	}
}
