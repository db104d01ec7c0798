/*-------------------------------------------------------------------------
 *
 * security.c
 *	  Who may connect as whom.
 *
 * The server connects with the rights of its own operating system user, from its
 * own address, and with its own password file and environment.  A user who may
 * call dblink_connect() must not gain any of that.  So one who is not a superuser
 * has to prove their identity to the remote with a password that they gave
 * themselves, and the remote has to have asked for it.  Credentials that their
 * client delegated by GSSAPI, or the SCRAM keys that it logged in with, serve in
 * place of a password.
 *
 * "Superuser" always means the effective user: inside a SECURITY DEFINER function
 * its owner, after SET ROLE the role.  dblink_connect_u() needs nothing here,
 * because it is SECURITY DEFINER.
 *
 * Nothing here opens or closes a connection, or changes anything.  A check that
 * throws leaves the connection to the transaction's end to clean up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

/*
 * Connection options that are safe in a connection made on behalf of another
 * user, for servers that have no list of their own.  An option that is known to a
 * newer libpq and not to this list is refused, because we do not know what it
 * does.
 */
static const char *const allowed_options[] = {
	"application_name", "channel_binding", "client_encoding",
	"connect_timeout", "dbname", "fallback_application_name",
	"gssdelegation", "gssencmode", "gsslib", "host", "hostaddr",
	"keepalives", "keepalives_count", "keepalives_idle",
	"keepalives_interval", "krbsrvname", "load_balance_hosts",
	"max_protocol_version", "min_protocol_version", "options", "passfile",
	"password", "port", "replication", "require_auth", "requirepeer",
	"scram_client_key", "scram_server_key", "service",
	"ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert",
	"sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey",
	"sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni",
	"target_session_attrs", "tcp_user_timeout", "user",
	NULL
};

/*
 * Check whether the conninfo string holds a password.  One from the environment, a
 * service or a password file is the server's and does not count, and a string
 * that does not parse holds none.
 */
static bool
is_password_given(const DblinkConnInfo *conninfo)
{
	const char *password = dbl_opt_value(conninfo->options, "password");

	return password != NULL && password[0] != '\0';
}

/*
 * Check whether an option has this very value.
 */
static bool
is_option_set(const DblinkConnInfo *conninfo, const char *keyword,
			  const char *value)
{
	const char *set = dbl_opt_value(conninfo->options, keyword);

	return set != NULL && strcmp(set, value) == 0;
}

/*
 * Check whether the conninfo string leads to a login with the SCRAM keys of this
 * very session, and in no other way.
 *
 * We look at the options as libpq has parsed them, and not at the user mapping,
 * because a later option in the string may have replaced a key that we wrote.
 */
static bool
is_scram_passed_through(const DblinkConnInfo *conninfo)
{
	DblinkScramKeys keys;
	bool		ours = false;

	if (dbl_scram_keys(&keys))
		ours = is_option_set(conninfo, "scram_client_key", keys.client) &&
			is_option_set(conninfo, "scram_server_key", keys.server) &&
			is_option_set(conninfo, "require_auth", "scram-sha-256");
	explicit_bzero(&keys, sizeof(keys));
	return ours;
}

/*
 * Check whether the connection can't gain the user anything: it leads to the database
 * that they are in, as the role that they are.
 *
 * A password is to prove that the server does not connect on the strength of its own
 * identity, as its operating system user or from its own address, to where the user
 * could not.  Here the user is already where they get to, and loopback.c checks that
 * they get nowhere else, so there is nothing to prove, however pg_hba.conf lets the
 * second session in.
 */
static bool
is_own_role(const DblinkConnInfo *conninfo)
{
	return conninfo->loopback;
}

/*
 * Throw 2F003 if the effective user has to prove their identity, and has given
 * nothing to do it with.  "hint" may be NULL.
 *
 * The caller must check this before any socket is opened, because any user could
 * otherwise make the server knock at addresses that only the server can reach.
 */
void
dbl_sec_password_given_check(const DblinkConnInfo *conninfo, const char *hint)
{
	if (superuser() || is_own_role(conninfo) || is_password_given(conninfo) ||
		is_scram_passed_through(conninfo) || dbl_has_delegated_credentials())
		return;

	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg(DBLINK_PASSWORD_MSG),
			 errdetail(DBLINK_PASSWORD_GIVEN_DETAIL),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Throw 2F003 unless the remote let in the effective user for what they have
 * given.
 *
 * A remote that trusts this server, or knows it by its operating system user or
 * certificate, has let in the server and not the user.  Of several hosts in the
 * string, the one that was connected to in the end counts.  With SCRAM keys there
 * is nothing to check: libpq has refused any remote that did not ask for them.
 */
void
dbl_sec_password_used_check(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	/* No connection is made with a string that does not parse. */
	Assert(conninfo->options != NULL);
	Assert(PQstatus(conn->pgconn) == CONNECTION_OK);

	if (superuser() || is_own_role(conninfo) ||
		(PQconnectionUsedPassword(conn->pgconn) && is_password_given(conninfo)) ||
		is_scram_passed_through(conninfo) ||
		(dbl_used_gssapi(conn->pgconn) && dbl_has_delegated_credentials()))
		return;

	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg(DBLINK_PASSWORD_MSG),
			 errdetail(DBLINK_PASSWORD_USED_DETAIL),
			 errhint(DBLINK_PASSWORD_USED_HINT)));
}

/*
 * Check whether an option is safe in a connection made on behalf of another user.
 * The server's own list comes first, because a minor update may have changed it.
 */
static bool
is_option_allowed(const char *keyword)
{
	if (libpqsrv_is_valid_proxy_option != NULL)
		return libpqsrv_is_valid_proxy_option(keyword);

	for (int i = 0; allowed_options[i] != NULL; i++)
	{
		if (strcmp(keyword, allowed_options[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Throw 08001, with a hint that may be NULL, if the conninfo string does not parse; 42501
 * if it sets an option that is not allowed; the latter holds for superusers, too.
 *
 * libpqsrv_check_proxy_conninfo() is the same check, but it exists in newer minor
 * releases only, and it would parse the string once more.
 */
void
dbl_sec_options_check(const DblinkConnInfo *conninfo, const char *hint)
{
	const PQconninfoOption *option;

	if (conninfo->options == NULL && conninfo->error == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not establish connection"),
				 errdetail("out of memory")));
	if (conninfo->options == NULL)
		dbl_err_not_connected(conninfo->error, hint);

	for (option = conninfo->options; option->keyword != NULL; option++)
	{
		if (option->val != NULL && !is_option_allowed(option->keyword))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set connection option \"%s\"",
							option->keyword)));
	}
}
