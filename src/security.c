/*-------------------------------------------------------------------------
 *
 * security.c
 *	  Who may connect as whom.
 *
 * The server connects with the rights of its own operating system user, from
 * its own address, and with its own password file and environment.  Whoever
 * may call dblink_connect() must not gain any of that.  So somebody who is
 * not a superuser has to prove his identity to the remote with a password that he
 * gave himself, and the remote has to have asked for it.  The credentials that
 * his client delegated by GSSAPI, or the SCRAM keys that it logged in with, serve
 * in place of a password.
 *
 * "Superuser" always means the effective user: inside a SECURITY DEFINER
 * function its owner, after SET ROLE the role.  dblink_connect_u() needs
 * nothing here, it is SECURITY DEFINER.
 *
 * Nothing here opens or closes a connection.  A check that throws leaves it
 * to the transaction's end to clean up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

static bool is_password_given(const char *conninfo);
static bool is_scram_passed_through(const char *conninfo);
static bool is_option_set(const PQconninfoOption *options, const char *keyword,
						  const char *value);
static bool is_option_allowed(const char *keyword);

/*
 * Connection options that are safe in a connection made for somebody else,
 * where the server does not tell by itself.  An option that a newer libpq
 * knows and this list does not is refused: what it does is not known here.
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
 * Does the conninfo string hold a password?  One from the environment, a
 * service or a password file is the server's and does not count, and a string
 * that does not parse carries none.
 */
static bool
is_password_given(const char *conninfo)
{
	const char *error;
	const char *password = dbl_opt_value(dbl_opt_parse(conninfo, &error),
										 "password");

	return password != NULL && password[0] != '\0';
}

/*
 * Does the conninfo string lead to a login with the SCRAM keys of this very
 * session, and in no other way?  It is looked at as libpq will read it: what
 * comes later in the string may have replaced what we wrote.
 */
static bool
is_scram_passed_through(const char *conninfo)
{
	DblinkScramKeys keys;
	const PQconninfoOption *options;
	const char *error;
	bool		ours = false;

	if (dbl_scram_keys(&keys))
	{
		options = dbl_opt_parse(conninfo, &error);
		ours = is_option_set(options, "scram_client_key", keys.client) &&
			is_option_set(options, "scram_server_key", keys.server) &&
			is_option_set(options, "require_auth", "scram-sha-256");
	}
	explicit_bzero(&keys, sizeof(keys));
	return ours;
}

/*
 * Has the option this very value?
 */
static bool
is_option_set(const PQconninfoOption *options, const char *keyword,
			  const char *value)
{
	const char *set = dbl_opt_value(options, keyword);

	return set != NULL && strcmp(set, value) == 0;
}

/*
 * Throw 2F003 if the effective user has to prove who he is, and has nothing to
 * do it with.
 *
 * This comes before any socket is opened: otherwise anybody could make the
 * server knock at addresses that only the server can reach.
 */
void
dbl_sec_password_given_check(const char *conninfo)
{
	if (superuser() || is_password_given(conninfo) ||
		is_scram_passed_through(conninfo) || dbl_has_delegated_credentials())
		return;

	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg(DBLINK_PASSWORD_MSG),
			 errdetail(DBLINK_PASSWORD_GIVEN_DETAIL)));
}

/*
 * Throw 2F003 unless the remote let in the effective user for what he has given.
 *
 * A remote that trusts this server, or knows it by its operating system user
 * or certificate, has let in the server and not the user.  Of several hosts
 * in the string, the one that was connected to in the end counts.  With
 * SCRAM keys, libpq has refused any remote that did not ask for them.
 */
void
dbl_sec_password_used_check(DblinkConn *conn, const char *conninfo)
{
	if (superuser() ||
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
 * Is the option safe in a connection made for somebody else?  The server's
 * own list is asked first, a minor update may have changed it.
 */
static bool
is_option_allowed(const char *keyword)
{
	int			i;

	if (libpqsrv_is_valid_proxy_option != NULL)
		return libpqsrv_is_valid_proxy_option(keyword);

	for (i = 0; allowed_options[i] != NULL; i++)
	{
		if (strcmp(keyword, allowed_options[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Throw 08001 if the conninfo string does not parse, 42501 if it sets an
 * option that is not allowed; the latter holds for superusers too.
 */
void
dbl_sec_options_check(const char *conninfo)
{
	const PQconninfoOption *option;
	const char *error;

	option = dbl_opt_parse(conninfo, &error);
	if (option == NULL && error == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not establish connection"),
				 errdetail("out of memory")));
	if (option == NULL)
		dbl_err_not_connected(error);

	for (; option->keyword != NULL; option++)
	{
		if (option->val != NULL && !is_option_allowed(option->keyword))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set connection option \"%s\"",
							option->keyword)));
	}
}
