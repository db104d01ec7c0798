/*-------------------------------------------------------------------------
 *
 * styles.c
 *	  The settings that conversions of remote text depend on.
 *
 * A remote session writes dates and intervals in its own DateStyle and
 * IntervalStyle, so these are taken on while its text is converted.  Other
 * settings of this session, and its role, act on conversions, too: where all rows
 * are converted before the first is used, nothing can change them in between, but
 * where rows are converted as they are asked for, the statement itself can (by
 * set_config() in its target list, say).  So they are noted when a scan starts, and
 * compared before each row; what is compared costs next to nothing.
 *
 * Memory: the strings live in the context that was current at the start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/xml.h"

/* The settings of the remote session that its text depends on. */
static const char *const remote_names[] = {"DateStyle", "IntervalStyle"};

/* Which of them a column depends on; a set of bits. */
#define ON_DATE_STYLE		1
#define ON_INTERVAL_STYLE	2

/* The same of a type's text as we write it. */
#define ON_FLOAT_DIGITS		4
#define ON_ANY				8

/*
 * Check whether the type is a date or timestamp.
 */
static bool
is_date(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

/*
 * Returns on which styles the conversion of a column can depend: on both for all types
 * that are not known here, which are arrays, composite types, domains with checks, and
 * types of users; and for a date that the remote has as another type, whose text is
 * free.
 *
 * A date as the remote writes it in ISO style is read in the same way whatever our
 * DateStyle is, because the year comes first.
 *
 * COMPAT: stock takes on the styles whatever the columns are; so it refuses even
 * an integer from a remote whose style is invalid.
 */
static int
styles_of_column(Oid type, Oid remote_type, bool remote_is_iso)
{
	switch (type)
	{
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case NAMEOID:
		case INT8OID:
		case INT2OID:
		case INT4OID:
		case TEXTOID:
		case OIDOID:
		case JSONOID:
		case JSONBOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case BPCHAROID:
		case VARCHAROID:
		case NUMERICOID:
		case UUIDOID:
			return 0;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (is_date(remote_type))
				return remote_is_iso ? 0 : ON_DATE_STYLE;
			break;
		case INTERVALOID:
			if (remote_type == INTERVALOID)
				return ON_INTERVAL_STYLE;
			break;
		default:
			break;
	}
	return ON_DATE_STYLE | ON_INTERVAL_STYLE;
}

/*
 * Returns on which styles the conversion of a result can depend.
 */
static int
styles_of_result(PGconn *pgconn, PGresult *res, TupleDesc tupdesc, const int *order)
{
	const char *date_style = PQparameterStatus(pgconn, remote_names[0]);
	bool		is_iso;
	int			styles = 0;
	int			i;

	is_iso = date_style != NULL &&
		(strcmp(date_style, "ISO") == 0 || strncmp(date_style, "ISO,", 4) == 0);
	for (i = 0; i < tupdesc->natts; i++)
	{
		if (order == NULL || order[i] >= 0)
			styles |= styles_of_column(TupleDescAttr(tupdesc, i)->atttypid,
									   PQftype(res, order != NULL ? order[i] : i),
									   is_iso);
	}
	return styles;
}

/*
 * Note the settings as they are now, for a result of this row type, whose columns
 * have this order in the result (NULL: the same).
 */
void
dbl_styles_note(DblinkStyles *styles, DblinkConn *conn, PGresult *res, TupleDesc tupdesc,
				const int *order)
{
	int			needed = 0;
	int			i;

	if (!conn->exchange.binary)
		needed = styles_of_result(conn->pgconn, res, tupdesc, order);
	memset(styles, 0, sizeof(*styles));
	for (i = 0; i < lengthof(remote_names); i++)
	{
		const char *remote = NULL;

		if (needed & (1 << i))
			remote = PQparameterStatus(conn->pgconn, remote_names[i]);
		if (remote == NULL)
			continue;
		styles->remote[i] = pstrdup(remote);
		styles->differ |= strcmp(remote, GetConfigOption(remote_names[i], false, false)) != 0;
	}
	styles->date_style = DateStyle;
	styles->date_order = DateOrder;
	styles->interval_style = IntervalStyle;
	styles->xmloption = xmloption;
	styles->array_nulls = Array_nulls;
	styles->timezone = session_timezone;
	styles->search_path = pstrdup(namespace_search_path);
	styles->lc_monetary = pstrdup(locale_monetary);
	GetUserIdAndSecContext(&styles->userid, &styles->sec_context);
}

/*
 * Check whether a setting or the role has changed since they were noted.
 */
static bool
is_changed(const DblinkStyles *styles)
{
	Oid			userid;
	int			sec_context;

	GetUserIdAndSecContext(&userid, &sec_context);
	return styles->date_style != DateStyle ||
		styles->date_order != DateOrder ||
		styles->interval_style != IntervalStyle ||
		styles->xmloption != xmloption ||
		styles->array_nulls != Array_nulls ||
		styles->timezone != session_timezone ||
		styles->userid != userid || styles->sec_context != sec_context ||
		strcmp(styles->search_path, namespace_search_path) != 0 ||
		strcmp(styles->lc_monetary, locale_monetary) != 0;
}

/*
 * Check whether a row that is converted now would need dbl_styles_enter().
 */
bool
dbl_styles_need_care(const DblinkStyles *styles)
{
	return styles->differ || is_changed(styles);
}

/*
 * Set a setting up to dbl_styles_leave(), unless it has that value.  Throws 22023 for
 * an invalid one, which the remote may have sent.
 */
static void
set(DblinkStylesSaved *saved, const char *name, const char *value)
{
	if (strcmp(GetConfigOption(name, false, false), value) == 0)
		return;
	if (saved->guc_level < 0)
		saved->guc_level = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Take on the remote's styles, and the settings and the role that were noted.  An
 * error undoes it, with everything else of its transaction.
 */
void
dbl_styles_enter(const DblinkStyles *styles, DblinkStylesSaved *saved)
{
	int			i;

	saved->guc_level = -1;
	saved->user_changed = false;
	if (!dbl_styles_need_care(styles))
		return;

	for (i = 0; i < lengthof(remote_names); i++)
	{
		if (styles->remote[i] != NULL)
			set(saved, remote_names[i], styles->remote[i]);
	}
	if (!is_changed(styles))
		return;

	if (styles->timezone != session_timezone)
		set(saved, "TimeZone", pg_get_timezone_name((pg_tz *) styles->timezone));
	set(saved, "xmloption", styles->xmloption == XMLOPTION_DOCUMENT ? "document" : "content");
	set(saved, "array_nulls", styles->array_nulls ? "on" : "off");
	set(saved, "search_path", styles->search_path);
	set(saved, "lc_monetary", styles->lc_monetary);

	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->user_changed = saved->userid != styles->userid ||
		saved->sec_context != styles->sec_context;
	if (saved->user_changed)
		SetUserIdAndSecContext(styles->userid, styles->sec_context);
}

/*
 * Take on settings under which the text of a value is the same in every session, and
 * as far as can be is read in the same way by every other.  An error undoes it.
 */
void
dbl_styles_enter_portable(DblinkStylesSaved *saved)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "1"},
		{"search_path", "pg_catalog"},
		{"lc_monetary", "C"}
	};
	int			i;

	saved->guc_level = -1;
	saved->user_changed = false;
	for (i = 0; i < lengthof(settings); i++)
		set(saved, settings[i][0], settings[i][1]);
}

/*
 * On which settings the text of values of this very type depends: on any for all types
 * that are not known here.
 */
static DblinkStyleNeeds
needs_of_base(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case NAMEOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UNKNOWNOID:
		case REFCURSOROID:
		case JSONOID:
		case JSONBOID:
		case NUMERICOID:
		case UUIDOID:
		case TIMEOID:
		case TIMETZOID:
			return 0;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return ON_DATE_STYLE;
		case INTERVALOID:
			return ON_INTERVAL_STYLE;
		case FLOAT4OID:
		case FLOAT8OID:
			return ON_FLOAT_DIGITS;
		default:
			return ON_ANY;
	}
}

/*
 * The same for a type that may be a domain, or an array.
 */
DblinkStyleNeeds
dbl_styles_needs(Oid type)
{
	DblinkStyleNeeds needs = needs_of_base(type);
	Oid			base;
	Oid			element;

	if (needs != ON_ANY)
		return needs;
	base = getBaseType(type);
	element = get_element_type(base);
	return needs_of_base(OidIsValid(element) ? getBaseType(element) : base);
}

/*
 * Check whether what has these needs is written now as after
 * dbl_styles_enter_portable().
 */
bool
dbl_styles_are_portable(DblinkStyleNeeds needs)
{
	if (needs & ON_ANY)
		return false;
	return ((needs & ON_DATE_STYLE) == 0 || DateStyle == USE_ISO_DATES) &&
		((needs & ON_INTERVAL_STYLE) == 0 || IntervalStyle == INTSTYLE_POSTGRES) &&
		((needs & ON_FLOAT_DIGITS) == 0 || extra_float_digits > 0);
}

/*
 * Back to what was before.
 */
void
dbl_styles_leave(const DblinkStylesSaved *saved)
{
	if (saved->user_changed)
		SetUserIdAndSecContext(saved->userid, saved->sec_context);
	if (saved->guc_level >= 0)
		AtEOXact_GUC(true, saved->guc_level);
}
