/*-------------------------------------------------------------------------
 *
 * security.c
 *	  Who may connect as whom.
 *
 * The server connects with the rights of its own operating system user, from
 * its own address, and with its own password file and environment.  Whoever
 * may call dblink_connect() must not gain any of that.  So somebody who is
 * not a superuser has to prove who he is to the remote with a password that
 * he gave himself, and the remote has to have asked for it.
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
 * Throw 2F003 if the effective user has to give a password in the conninfo
 * string and did not.
 *
 * This comes before any socket is opened: otherwise anybody could make the
 * server knock at addresses that only the server can reach.  A password from
 * the environment, a service or a password file is the server's and does not
 * count, and a string that does not parse carries none.
 */
void
dbl_sec_password_given_check(const char *conninfo)
{
	const char *password;
	const char *error;

	if (superuser())
		return;
	password = dbl_opt_value(dbl_opt_parse(conninfo, &error), "password");
	if (password != NULL && password[0] != '\0')
		return;

	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("password is required"),
			 errdetail("Non-superusers must provide a password in the connection string.")));
}

/*
 * Throw 2F003 unless the remote asked for the password of somebody who had
 * to give one.
 *
 * A remote that trusts this server, or knows it by its operating system user
 * or certificate, has let in the server and not the user.  Of several hosts
 * in the string, the one that was connected to in the end counts.
 */
void
dbl_sec_password_used_check(DblinkConn *conn)
{
	if (superuser() || PQconnectionUsedPassword(conn->pgconn))
		return;

	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("password is required"),
			 errdetail("Non-superuser cannot connect if the server does not request a password."),
			 errhint("Target server's authentication method must be changed.")));
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
