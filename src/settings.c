/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Configuration parameters.
 *
 * The variables are read where they are needed; they are at the bottom of the map,
 * so that no file needs one above it for a setting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "dblink.h"

int			dbl_streaming = DBLINK_STREAMING_ON;
int			dbl_stream_hold_time = 1000;
int			dbl_on_early_end = DBLINK_EARLY_END_AUTO;
int			dbl_result_format = DBLINK_FORMAT_TEXT;
int			dbl_keep_connections = 0;
int			dbl_loopback_keep = 60000;
int			dbl_deadlock_patience = 60000;
bool		dbl_forward_notices = false;
int			dbl_gather_failures = DBLINK_GATHER_ERROR;

/* What dblink.version shows. */
static char *shown_version = NULL;

static const struct config_enum_entry streaming_options[] = {
	{"off", DBLINK_STREAMING_OFF, false},
	{"on", DBLINK_STREAMING_ON, false},
	{"always", DBLINK_STREAMING_ALWAYS, false},
	{NULL, 0, false}
};

static const struct config_enum_entry early_end_options[] = {
	{"auto", DBLINK_EARLY_END_AUTO, false},
	{"drain", DBLINK_EARLY_END_DRAIN, false},
	{"cancel", DBLINK_EARLY_END_CANCEL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry format_options[] = {
	{"text", DBLINK_FORMAT_TEXT, false},
	{"binary", DBLINK_FORMAT_BINARY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry gather_options[] = {
	{"error", DBLINK_GATHER_ERROR, false},
	{"skip", DBLINK_GATHER_SKIP, false},
	{NULL, 0, false}
};

/*
 * Define the settings; called once, when the library is loaded.  dblink.version can't
 * be set: stock lacks it, so it tells which dblink this is.
 */
void
dbl_settings_init(const char *version, GucIntAssignHook keep_assigned,
				  GucIntAssignHook loopback_keep_assigned)
{
	DefineCustomStringVariable("dblink.version",
							   "Shows the version of this dblink.",
							   NULL,
							   &shown_version, version,
							   PGC_INTERNAL,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
	DefineCustomEnumVariable("dblink.streaming",
							 "Streams rows of remote queries into the plan as they arrive.",
							 "\"on\" does not stream from this server itself, nor into plans that may take their time; \"always\" does.",
							 &dbl_streaming, DBLINK_STREAMING_ON, streaming_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dblink.stream_hold_time",
							"Sets the maximum time a plan may spend between rows before the remaining rows are read ahead.",
							"-1 means no limit, so that rows stream into plans that may take their time, too.",
							&dbl_stream_hold_time, 1000, -1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("dblink.on_early_end",
							 "Selects how a remote query is ended when not all of its rows are needed.",
							 "\"auto\" cancels queries that call no function, if their remaining rows take time.",
							 &dbl_on_early_end, DBLINK_EARLY_END_AUTO, early_end_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("dblink.result_format",
							 "Sets the format requested for remote query results.",
							 "\"binary\" is used where it is safe, else text.",
							 &dbl_result_format, DBLINK_FORMAT_TEXT, format_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("dblink.keep_connections",
							"Sets the maximum number of ad hoc connections kept open for reuse.",
							NULL,
							&dbl_keep_connections, 0, 0, 100,
							PGC_USERSET, 0, NULL, keep_assigned, NULL);
	DefineCustomIntVariable("dblink.loopback_keep",
							"Sets how long a connection through a loopback server is kept open for the next call.",
							"0 closes it after each call.",
							&dbl_loopback_keep, 60000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, loopback_keep_assigned, NULL);
	DefineCustomIntVariable("dblink.deadlock_patience",
							"Sets how long a remote statement may wait for this session through others before it is canceled.",
							"-1 waits without limit.",
							&dbl_deadlock_patience, 60000, -1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("dblink.forward_notices",
							 "Reports messages of remote servers as messages of this session.",
							 "\"off\" writes them to the server log.",
							 &dbl_forward_notices, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("dblink.gather_failures",
							 "Selects what dblink_gather() does when one of its connections fails.",
							 "\"skip\" raises a warning and goes on with the other connections.",
							 &dbl_gather_failures, DBLINK_GATHER_ERROR, gather_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	dbl_count_init();
	MarkGUCPrefixReserved("dblink");
}
