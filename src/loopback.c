/*-------------------------------------------------------------------------
 *
 * loopback.c
 *	  Connections to this very server, as the role that one is.
 *
 * A foreign server with the option "loopback" has no address: a connection through it
 * leads to the database that the session is in, as the effective role.  The second
 * session is one's own, and commits on its own.
 *
 * The role of the session is all that lets a user have such a connection, so nothing
 * but this file may decide where it leads.  Every option that could, is set here, in a
 * conninfo string, because there even an empty value wins over the environment and
 * over a service file.  And we do not take the address on trust: before a byte is
 * sent, the process that listens must be our postmaster; and once connected, the
 * other end must be a backend of this server with our role and our database.
 *
 * How it gets in is for pg_hba.conf to say.  A password from the postmaster's own
 * environment or password file does not count, because it was not given for this
 * purpose; one in the user mapping does.
 *
 * Kept connections of this kind are in kept.c, which role may use one in session.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dblink.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pidfile.h"
#include "utils/syscache.h"

/* Where the postmaster notes the directory of its socket. */
#define POSTMASTER_PID_FILE	"postmaster.pid"

/* A password file that can't exist, in place of the default one. */
#define NO_PASSWORD_FILE	"/dev/null/none"

/* A longer search path does not fit into the start-up message for sure. */
#define MAX_STARTUP_PATH	4000

/* Options of every such connection: those that could lead it elsewhere. */
static const char *const fixed_options[][2] = {
	{"hostaddr", ""},
	{"sslmode", "disable"},
	{"gssencmode", "disable"},
	{"channel_binding", "disable"},
	{"target_session_attrs", "any"},
	{"requirepeer", ""},
	{"replication", ""},
	{"connect_timeout", "0"},
	{"password", ""},
	{"passfile", NO_PASSWORD_FILE}
};

/* Where the postmaster listens; NULL until it is asked for. */
static char *socket_directory = NULL;

/*
 * Check whether a validator is this library's.  Only then we know that the option
 * "loopback" of a server means what it does here.
 */
static bool
is_our_validator(Oid funcid)
{
	FmgrInfo	finfo;

	if (!OidIsValid(funcid))
		return false;
	fmgr_info(funcid, &finfo);
	return finfo.fn_addr == dblink_fdw_validator;
}

/*
 * Check whether a foreign server leads back to this server.
 */
static bool
is_loopback(ForeignServer *server)
{
	DefElem    *def = dbl_opt_find(server->options, DBLINK_LOOPBACK_OPTION);

	return def != NULL &&
		is_our_validator(GetForeignDataWrapper(server->fdwid)->fdwvalidator) &&
		defGetBoolean(def);
}

/*
 * Return the options of the effective user's mapping for a server, or else of the
 * public one; NIL if there is none, because none is needed here.
 */
static List *
mapping_options(Oid serverid)
{
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(GetUserId()),
							   ObjectIdGetDatum(serverid)) &&
		!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
							   ObjectIdGetDatum(serverid)))
		return NIL;
	return GetUserMapping(GetUserId(), serverid)->options;
}

/*
 * Throw 28000 if the effective role can't log in, because the second session is a
 * login of its own.
 */
static void
login_check(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", GetUserId());
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" is not permitted to log in",
						GetUserNameFromId(GetUserId(), false)),
				 errdetail("A connection back to this server is a session of its own, as the current role."),
				 errhint("Use ALTER ROLE ... LOGIN, or run the call as a role that can log in.")));
}

/*
 * Throw 42501 if the effective user may not use a server that leads back here, 28000
 * if their role can't log in.
 */
void
dbl_loop_rights_check(Oid serverid)
{
	if (object_aclcheck(ForeignServerRelationId, serverid,
						GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(serverid)->servername);
	login_check();
}

/*
 * Check whether a server with the option "loopback" may have another option, too.
 */
static bool
is_server_option(const char *name)
{
	return strcmp(name, DBLINK_LOOPBACK_OPTION) == 0 ||
		strcmp(name, "options") == 0 ||
		strcmp(name, "application_name") == 0 ||
		strcmp(name, "connect_timeout") == 0 ||
		strncmp(name, "keepalives", strlen("keepalives")) == 0;
}

/*
 * Check whether a user mapping for such a server may have an option.
 */
static bool
is_mapping_option(const char *name)
{
	return strcmp(name, "password") == 0 ||
		strcmp(name, DBLINK_PASSTHROUGH_OPTION) == 0;
}

/*
 * Throw HV00D for the first option that does not pass "is_allowed".
 */
static void
options_check(ForeignServer *server, List *options, const char *object,
			  bool (*is_allowed) (const char *name))
{
	foreach_node(DefElem, def, options)
	{
		if (!is_allowed(def->defname))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" cannot be used with foreign server \"%s\"",
							def->defname, server->servername),
					 errdetail("The server has the option \"%s\": its connections lead to the current database as the current role.",
							   DBLINK_LOOPBACK_OPTION),
					 errhint("Drop the option from the %s.", object)));
	}
}

/*
 * Throw 42501 if the server sets options of the second session, and its owner is not
 * a superuser: the owner's search_path, or anything else, would hold in sessions of
 * other roles.
 */
static void
session_options_check(ForeignServer *server)
{
	if (dbl_opt_find(server->options, "options") != NULL && !superuser_arg(server->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set connection option \"%s\"", "options"),
				 errdetail("Foreign server \"%s\" leads back to this server, and its owner is not a superuser.",
						   server->servername)));
}

/*
 * Throw 0A000, because there is no socket to connect to.
 */
pg_noreturn static void
no_socket(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot connect back to this server"),
			 errdetail("%s", detail),
			 errhint("Set \"unix_socket_directories\", and connect through a server that is running.")));
}

/*
 * Read the line of postmaster.pid that names the directory of the socket; NULL if
 * there is none.
 */
static char *
read_socket_line(void)
{
	FILE	   *file = AllocateFile(POSTMASTER_PID_FILE, "r");
	StringInfoData buf;
	int			line = 0;
	int			c;

	if (file == NULL)
		return NULL;
	initStringInfo(&buf);
	while (line < LOCK_FILE_LINE_SOCKET_DIR && (c = getc(file)) != EOF)
	{
		if (c == '\n')
			line++;
		else if (line == LOCK_FILE_LINE_SOCKET_DIR - 1)
			appendStringInfoChar(&buf, (char) c);
	}
	FreeFile(file);
	return buf.len > 0 ? buf.data : NULL;
}

/*
 * Return the first directory in which the postmaster listens; it may differ from the
 * first one of unix_socket_directories, which another server may use.  The
 * postmaster never changes it, so we read it once.
 *
 * Throws 0A000 if there is none, or if libpq can't be told of it.
 */
static const char *
get_socket_directory(void)
{
	char	   *directory;

	if (socket_directory != NULL)
		return socket_directory;
	if (!IsUnderPostmaster)
		no_socket("The server runs in single-user mode.");
	directory = read_socket_line();
	if (directory == NULL)
		no_socket("The server does not listen on a Unix-domain socket.");
	if (strchr(directory, ',') != NULL)
		no_socket("The name of the directory of its socket has a comma.");
	if (directory[0] != '/' && directory[0] != '@')
		directory = psprintf("%s/%s", DataDir, directory);
	socket_directory = MemoryContextStrdup(TopMemoryContext, directory);
	return socket_directory;
}

/*
 * Return the milliseconds for which the second session lets itself be kept: as the
 * setting says, but no more than the time that any session may idle.
 */
int
dbl_loop_keep_time(void)
{
	if (IdleSessionTimeout > 0)
		return Min(IdleSessionTimeout, dbl_loopback_keep);
	return dbl_loopback_keep;
}

/*
 * Return the options of the second session that do not depend on the call: the
 * server's, and for one that may be kept, the time after which it ends itself.
 * (It survives a DISCARD ALL, because it is there from the start.)
 */
static const char *
session_options(ForeignServer *server, DblinkConnKind kind)
{
	DefElem    *def = dbl_opt_find(server->options, "options");
	const char *own = def != NULL ? defGetString(def) : "";

	if (kind == DBLINK_ONE_CALL && dbl_loop_keep_time() > 0)
		return psprintf("%s -c idle_session_timeout=%dms", own,
						dbl_loop_keep_time());
	return own;
}

/*
 * Return session options with the caller's search path added; NULL if that is too
 * long for the start-up message.
 */
static const char *
with_search_path(const char *options)
{
	StringInfoData buf;
	const char *path;

	if (strlen(namespace_search_path) > MAX_STARTUP_PATH)
		return NULL;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s -c search_path=", options);
	for (path = namespace_search_path; *path != '\0'; path++)
	{
		if (isspace((unsigned char) *path) || *path == '\\')
			appendStringInfoChar(&buf, '\\');
		appendStringInfoChar(&buf, *path);
	}
	return buf.data;
}

/*
 * Append an option to a list of them.
 */
static List *
add_option(List *options, const char *keyword, const char *value)
{
	return lappend(options, makeDefElem(pstrdup(keyword),
										(Node *) makeString(pstrdup(value)), -1));
}

/*
 * Append what the mapping holds to log in with: a password, or the wish to use the
 * keys that the session has logged in with.  Those are of no use to another role than
 * the one that logged in.
 */
static List *
add_credentials(List *options, List *mapping)
{
	DefElem    *password = dbl_opt_find(mapping, "password");
	DefElem    *passthrough = dbl_opt_find(mapping, DBLINK_PASSTHROUGH_OPTION);

	if (password != NULL)
		options = lappend(options, password);
	if (passthrough != NULL && defGetBoolean(passthrough) &&
		GetUserId() == GetAuthenticatedUserId())
		options = lappend(options, passthrough);
	return options;
}

/*
 * Return all options of a connection back to this server; of two of one name, the
 * later counts.
 */
static List *
connection_options(ForeignServer *server, List *mapping, DblinkConnKind kind)
{
	List	   *options = NIL;

	for (int i = 0; i < lengthof(fixed_options); i++)
		options = add_option(options, fixed_options[i][0], fixed_options[i][1]);
	/* An empty value allows no method at all; "gss" never is on a socket. */
	if (dbl_libpq_has_require_auth())
		options = add_option(options, "require_auth", "!gss");

	/* Not as a fallback, because PGAPPNAME would win over that. */
	options = add_option(options, "application_name",
						 psprintf("dblink loopback of %d", MyProcPid));
	foreach_node(DefElem, def, server->options)
	{
		if (strcmp(def->defname, DBLINK_LOOPBACK_OPTION) != 0)
			options = lappend(options, def);
	}
	options = add_option(options, "host", get_socket_directory());
	options = add_option(options, "port", psprintf("%d", PostPortNumber));
	options = add_option(options, "dbname", get_database_name(MyDatabaseId));
	options = add_option(options, "user", GetUserNameFromId(GetUserId(), false));
	options = add_option(options, "options", session_options(server, kind));
	return add_credentials(options, mapping);
}

/*
 * Return how to connect to "source" for a connection of this kind: back to this
 * server, if that is a foreign server which says so; else as dbl_opt_conninfo() does.
 *
 * Throws what that throws.  For a server that leads back here, 42501 if the effective
 * user may not use it, or if it sets options that its owner may not set; 28000 if the
 * role can't log in; HV00D for an option that can't stand beside this one; 0A000 if
 * there is no socket.
 */
const DblinkConnInfo *
dbl_loop_conninfo(const char *source, DblinkConnKind kind)
{
	ForeignServer *server = dbl_opt_server(source);
	DblinkConnInfo *conninfo;
	List	   *mapping;

	if (server == NULL || !is_loopback(server))
		return dbl_opt_conninfo(source);

	dbl_loop_rights_check(server->serverid);
	mapping = mapping_options(server->serverid);
	options_check(server, server->options, "foreign server", is_server_option);
	options_check(server, mapping, "user mapping", is_mapping_option);
	session_options_check(server);

	conninfo = dbl_opt_make(server->serverid, connection_options(server, mapping, kind));
	conninfo->loopback = true;
	conninfo->session_options = with_search_path(session_options(server, kind));
	return conninfo;
}

/*
 * Get the user and the process at the other end of a socket.  The process is that
 * which listened, and 0 where the system does not tell.  Returns false if there is no
 * other end.
 */
static bool
get_peer(int sock, uid_t *uid, pid_t *pid)
{
#if defined(SO_PEERCRED) && defined(__linux__)
	struct ucred cred;
	socklen_t	len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return false;
	*uid = cred.uid;
	*pid = cred.pid;
	return true;
#else
	gid_t		gid;

	*pid = 0;
	return getpeereid(sock, uid, &gid) == 0;
#endif
}

/*
 * Check whether the process at the other end of a Unix-domain socket is this server's
 * postmaster.  If the system does not tell the process, the user must do.
 */
bool
dbl_loop_is_postmaster(PGconn *pgconn)
{
	uid_t		uid;
	pid_t		pid;

	return get_peer(PQsocket(pgconn), &uid, &pid) && uid == geteuid() &&
		(pid == 0 || pid == PostmasterPid);
}

/*
 * Throw 2F003 unless our postmaster listens at the other end.  The caller must check
 * this before libpq sends a byte: another process at the socket's path could ask for
 * the password.
 */
void
dbl_loop_peer_check(PGconn *pgconn)
{
	if (dbl_loop_is_postmaster(pgconn))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("connection does not lead back to this server"),
			 errdetail("The process that listens at the socket in directory \"%s\" is not this server's.",
					   PQhost(pgconn))));
}

/*
 * Throw 2F003 unless the other end of a connection that was just made is a backend of
 * this server, with the effective role and in the same database.
 */
void
dbl_loop_session_check(DblinkConn *conn)
{
	PGPROC	   *proc = BackendPidGetProc(PQbackendPID(conn->pgconn));

	if (proc != NULL && proc->roleId == GetUserId() &&
		proc->databaseId == MyDatabaseId)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("connection does not lead back to this server"),
			 errdetail("The other session has another role or another database.")));
}

/*
 * Note what a connection is opened with: how long it may be kept, and with which search
 * path the second session starts, and is again after a DISCARD ALL.
 */
void
dbl_loop_note(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	conn->loopback = conninfo->loopback;
	if (!conn->loopback)
		return;
	conn->place.keep_ms = dbl_loop_keep_time();
	if (conninfo->session_options != NULL)
		conn->place.search_path = MemoryContextStrdup(TopMemoryContext,
													  namespace_search_path);
}

/*
 * Let the second session have the search path of this one, unless it has it from
 * its start.  Returns false if that failed; the connection has the reason then.
 */
bool
dbl_loop_set_search_path(DblinkConn *conn)
{
	PGresult   *res;

	if (conn->place.search_path != NULL &&
		strcmp(conn->place.search_path, namespace_search_path) == 0)
		return true;
	res = dbl_ex_run(conn, psprintf("SELECT pg_catalog.set_config('search_path', %s, false)",
									quote_literal_cstr(namespace_search_path)));
	return PQresultStatus(res) == PGRES_TUPLES_OK;
}
