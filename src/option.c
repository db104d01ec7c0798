/*-------------------------------------------------------------------------
 *
 * option.c
 *	  Connection options: of strings, of foreign servers, of user mappings.
 *
 * libpq tells which options there are; one rule here tells where each belongs.
 * A foreign server holds what describes the remote, a user mapping holds the user
 * name and secrets.  The validator refuses anything else when it is written.
 * Servers of other wrappers may hold options of all kinds; when a conninfo string
 * is built, we skip what libpq does not know or what is not in its place.
 *
 * A conninfo string is parsed once.  The DblinkConnInfo with its options is then
 * handed on to all that need them: the checks of security.c, establish.c, and
 * kept.c.
 *
 * Memory: option arrays that libpq allocates are owned by the memory context that
 * is current when they are made, through a reset callback.  Such a callback also
 * wipes them, and a conninfo string that was built here, because they hold
 * passwords.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "common/cryptohash.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(dblink_fdw_validator);

/* A login with the session's SCRAM keys, and the most that it takes. */
#define SCRAM_KEYS_FORMAT \
	"scram_client_key='%s' scram_server_key='%s' require_auth='scram-sha-256' "
#define SCRAM_KEYS_SIZE		(sizeof(SCRAM_KEYS_FORMAT) + sizeof(DblinkScramKeys))

/* What libpq allocates on our behalf; the fields are NULL until then. */
typedef struct DblinkOwnedOptions
{
	PQconninfoOption *options;
	char	   *error;			/* why a string did not parse */
	MemoryContextCallback callback;
} DblinkOwnedOptions;

/* A string that holds secrets. */
typedef struct DblinkSecret
{
	StringInfoData buf;
	MemoryContextCallback callback;
} DblinkSecret;

/* What is hashed with a conninfo string; random, once it is needed. */
static uint8 digest_salt[PG_SHA256_DIGEST_LENGTH];
static bool have_digest_salt = false;

/*
 * Reset callback: wipe the values and free what libpq has allocated.
 */
static void
owned_options_free(void *arg)
{
	DblinkOwnedOptions *owner = arg;
	PQconninfoOption *option;

	for (option = owner->options; option != NULL && option->keyword != NULL; option++)
	{
		if (option->val != NULL)
			explicit_bzero(option->val, strlen(option->val));
	}
	PQconninfoFree(owner->options);
	PQfreemem(owner->error);
}

/*
 * Make an owner for what a libpq function is about to allocate.  It frees that
 * when the current memory context goes away.
 */
static DblinkOwnedOptions *
owned_options_make(void)
{
	DblinkOwnedOptions *owner = palloc0(sizeof(DblinkOwnedOptions));

	owner->callback.func = owned_options_free;
	owner->callback.arg = owner;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);
	return owner;
}

/*
 * Reset callback: overwrite the string.
 */
static void
secret_wipe(void *arg)
{
	DblinkSecret *secret = arg;

	explicit_bzero(secret->buf.data, secret->buf.maxlen);
}

/*
 * Make a string that is wiped when the current memory context goes away.
 *
 * The caller must not append more than "size" bytes, because a StringInfo that
 * grows frees its old buffer without wiping it.  (appendStringInfo() may grow one
 * that has fewer than 16 bytes left, whatever it appends.)
 */
static DblinkSecret *
secret_make(Size size)
{
	DblinkSecret *secret = palloc0(sizeof(DblinkSecret));

	initStringInfo(&secret->buf);
	enlargeStringInfo(&secret->buf, (int) Min(size, MaxAllocSize));
	secret->callback.func = secret_wipe;
	secret->callback.arg = secret;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &secret->callback);
	return secret;
}

/*
 * Return the options that a connection really uses, with those from a service,
 * the environment and libpq's defaults; NULL if memory ran out.  Owned by the
 * current memory context.
 */
const PQconninfoOption *
dbl_opt_effective(PGconn *pgconn)
{
	DblinkOwnedOptions *owner = owned_options_make();

	owner->options = PQconninfo(pgconn);
	return owner->options;
}

/*
 * Return all options that libpq knows.  Owned by the current memory context.
 */
static const PQconninfoOption *
known_options(void)
{
	DblinkOwnedOptions *owner = owned_options_make();

	owner->options = PQconndefaults();
	if (owner->options == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Could not get libpq's default connection options.")));
	return owner->options;
}

/*
 * Return the entry of an option, NULL if libpq does not know it.
 */
static const PQconninfoOption *
option_find(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *option;

	for (option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, keyword) == 0)
			return option;
	}
	return NULL;
}

/*
 * Return the value of an option, which may be empty; NULL if it is not set, or
 * not known to libpq, or if there are no options at all.
 */
const char *
dbl_opt_value(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *option = option_find(options, keyword);

	return option != NULL ? option->val : NULL;
}

/*
 * Check whether an option may stand in objects of this system catalog.
 *
 * The user and what libpq marks as secret ("*") belong to user mappings, all else
 * to servers.  Three kinds belong to neither: the encoding, because it has to be
 * the database's own; debug options ("D"); and those of OAuth, because its login
 * needs a browser.
 */
static bool
is_option_of(const PQconninfoOption *option, Oid catalog)
{
	if (strchr(option->dispchar, 'D') != NULL ||
		strcmp(option->keyword, "client_encoding") == 0 ||
		strncmp(option->keyword, "oauth_", strlen("oauth_")) == 0)
		return false;

	if (strchr(option->dispchar, '*') != NULL ||
		strcmp(option->keyword, "user") == 0)
		return catalog == UserMappingRelationId;

	return catalog == ForeignServerRelationId;
}

/*
 * Return the option of this name, NULL if there is none.
 */
DefElem *
dbl_opt_find(List *options, const char *name)
{
	foreach_node(DefElem, def, options)
	{
		if (strcmp(def->defname, name) == 0)
			return def;
	}
	return NULL;
}

/*
 * Return the option that makes the session's own SCRAM login be passed on to a server,
 * if it must be; else NULL.  The user mapping decides, else the server.  Throws 42601 if
 * the value is no Boolean.
 */
static DefElem *
passthrough_option(List *server_options, List *mapping_options)
{
	DefElem    *def;

	if (!DBLINK_SCRAM_PASSTHROUGH)
		return NULL;
	def = dbl_opt_find(mapping_options, DBLINK_PASSTHROUGH_OPTION);
	if (def == NULL)
		def = dbl_opt_find(server_options, DBLINK_PASSTHROUGH_OPTION);
	return def != NULL && defGetBoolean(def) ? def : NULL;
}

/*
 * Return an upper bound for the length of options (a list of DefElem) as
 * append_option() writes them: each byte of a value may need a backslash.
 */
static Size
options_size(List *options)
{
	Size		size = 0;

	foreach_node(DefElem, def, options)
	{
		size += strlen(def->defname) + 2 * strlen(defGetString(def)) + strlen("='' ");
	}
	return size;
}

/*
 * Append a value as a conninfo string quotes it.
 */
static void
append_quoted(StringInfo buf, const char *value)
{
	appendStringInfoChar(buf, '\'');
	for (; *value != '\0'; value++)
	{
		if (*value == '\\' || *value == '\'')
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *value);
	}
	appendStringInfoChar(buf, '\'');
}

/*
 * Append an option as a conninfo string has it.
 */
static void
append_option(StringInfo buf, const char *keyword, const char *value)
{
	appendStringInfoString(buf, keyword);
	appendStringInfoChar(buf, '=');
	append_quoted(buf, value);
	appendStringInfoChar(buf, ' ');
}

/*
 * Append what makes libpq log in with the session's SCRAM keys, and in no other
 * way; nothing if it has none.  At most SCRAM_KEYS_SIZE bytes.
 */
static void
append_scram_keys(StringInfo buf)
{
	DblinkScramKeys keys;

	if (dbl_scram_keys(&keys))
		appendStringInfo(buf, SCRAM_KEYS_FORMAT, keys.client, keys.server);
	explicit_bzero(&keys, sizeof(keys));
}

/*
 * Make a DblinkConnInfo of a conninfo string, by parsing it.  One that does not
 * parse is no error yet: the caller has other checks to make first.
 */
static DblinkConnInfo *
conninfo_make(const char *string, Oid serverid)
{
	DblinkConnInfo *conninfo = palloc0(sizeof(DblinkConnInfo));
	DblinkOwnedOptions *owner = owned_options_make();

	owner->options = PQconninfoParse(string, &owner->error);
	Assert(owner->options == NULL || owner->error == NULL);

	conninfo->string = string;
	conninfo->serverid = serverid;
	conninfo->options = owner->options;
	conninfo->error = owner->error;
	return conninfo;
}

/*
 * Make a DblinkConnInfo of a foreign server's options (a list of DefElem), all of which
 * go into its string; use_scram_passthrough stands for the session's SCRAM keys.  The
 * string is wiped with the current memory context.
 */
DblinkConnInfo *
dbl_opt_make(Oid serverid, List *options)
{
	DblinkSecret *secret = secret_make(SCRAM_KEYS_SIZE + options_size(options));
	const char *reserved PG_USED_FOR_ASSERTS_ONLY = secret->buf.data;

	foreach_node(DefElem, def, options)
	{
		if (strcmp(def->defname, DBLINK_PASSTHROUGH_OPTION) == 0)
			append_scram_keys(&secret->buf);
		else
			append_option(&secret->buf, def->defname, defGetString(def));
	}

	/* Had it grown, a copy of the password would stay in memory. */
	Assert(secret->buf.data == reserved);
	return conninfo_make(secret->buf.data, serverid);
}

/*
 * Append those options that belong to objects of "catalog" to a list.
 */
static List *
add_options(List *selected, const PQconninfoOption *known, List *options, Oid catalog)
{
	foreach_node(DefElem, def, options)
	{
		const PQconninfoOption *option = option_find(known, def->defname);

		if (option != NULL && is_option_of(option, catalog))
			selected = lappend(selected, def);
	}
	return selected;
}

/*
 * Return the options of connections to a foreign server with a user mapping.  COMPAT:
 * those that the server sets win over the session's SCRAM keys.
 */
static List *
connection_options(ForeignServer *server, UserMapping *mapping)
{
	const PQconninfoOption *known = known_options();
	DefElem    *passthrough = passthrough_option(server->options, mapping->options);
	List	   *options = passthrough != NULL ? list_make1(passthrough) : NIL;

	options = add_options(options, known, server->options, ForeignServerRelationId);
	return add_options(options, known, mapping->options, UserMappingRelationId);
}

/*
 * Return the foreign server of this name, of any wrapper; InvalidOid if there is
 * none.
 */
Oid
dbl_opt_server_oid(const char *source)
{
	char	   *name = pstrdup(source);

	truncate_identifier(name, strlen(name), false);
	return get_foreign_server_oid(name, true);
}

/*
 * The same, with all that is known of it; NULL if there is none.
 */
ForeignServer *
dbl_opt_server(const char *source)
{
	Oid			serverid = dbl_opt_server_oid(source);

	return OidIsValid(serverid) ? GetForeignServer(serverid) : NULL;
}

/*
 * Return how to connect to "source": to the foreign server of this name, of any
 * wrapper, with the user mapping of the effective user; or if there is no such
 * server, by "source" as a conninfo string.
 *
 * Throws 42704 if the user has no mapping for the server, then 42501 if they may
 * not use it.  The result is valid as long as the current memory context and
 * "source" are.
 */
const DblinkConnInfo *
dbl_opt_conninfo(const char *source)
{
	ForeignServer *server = dbl_opt_server(source);
	UserMapping *mapping;

	if (server == NULL)
		return conninfo_make(source, InvalidOid);

	mapping = GetUserMapping(GetUserId(), server->serverid);
	if (object_aclcheck(ForeignServerRelationId, server->serverid,
						GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER,
					   server->servername);
	return dbl_opt_make(server->serverid, connection_options(server, mapping));
}

/*
 * Throw XX000: the hash could not be computed.
 */
pg_noreturn static void
digest_failed(const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute %s hash: %s", "SHA256", reason)));
}

/*
 * Compute a digest of a conninfo string, PG_SHA256_DIGEST_LENGTH bytes, which is the same
 * for the same string in this session.
 *
 * The string holds a password that could be guessed from its mere hash, so a random
 * number is hashed with it, which no other session has.
 */
void
dbl_opt_digest(const DblinkConnInfo *conninfo, uint8 *digest)
{
	pg_cryptohash_ctx *hash;

	if (!have_digest_salt && !pg_strong_random(digest_salt, sizeof(digest_salt)))
		digest_failed("could not generate a random number");
	have_digest_salt = true;

	hash = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, digest_salt, sizeof(digest_salt)) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) conninfo->string,
							 strlen(conninfo->string)) < 0 ||
		pg_cryptohash_final(hash, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		digest_failed(pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
}

/*
 * Check whether an option is one of ours that libpq does not know, in its place.
 * Throws 42601 if its value is no Boolean.
 */
static bool
is_own_option(DefElem *def, Oid catalog)
{
	bool		of_server = catalog == ForeignServerRelationId;
	bool		known = false;

	if (strcmp(def->defname, DBLINK_LOOPBACK_OPTION) == 0)
		known = of_server;
	if (DBLINK_SCRAM_PASSTHROUGH && strcmp(def->defname, DBLINK_PASSTHROUGH_OPTION) == 0)
		known = of_server || catalog == UserMappingRelationId;
	if (known)
		(void) defGetBoolean(def);
	return known;
}

/*
 * Return the hint about an option that is not legal in objects of "catalog"; NULL
 * if there is none.
 */
static const char *
option_hint(const PQconninfoOption *known, const char *wrong, Oid catalog)
{
	DblinkOptionHint hint;
	const PQconninfoOption *option;
	bool		any = false;

	dbl_hint_begin(&hint, wrong);
	for (option = known; option->keyword != NULL; option++)
	{
		if (!is_option_of(option, catalog))
			continue;
		dbl_hint_add(&hint, option->keyword);
		any = true;
	}
	if (!any)
		return "There are no valid options in this context.";
	return dbl_hint_text(&hint);
}

/*
 * dblink_fdw_validator(options text[], catalog oid) returns void
 *
 * Called by CREATE and ALTER SERVER, USER MAPPING and so on with the options
 * that the object will have, and the catalog that holds such objects.
 *
 * Errors: HV00J for the first option that is not legal there, 42601 for one that
 * has to be a Boolean and is not.
 */
Datum
dblink_fdw_validator(PG_FUNCTION_ARGS)
{
	ArrayType  *array = dbl_arg_text_array(fcinfo, 0);
	Oid			catalog = dbl_arg_oid(fcinfo, 1);
	List	   *options = untransformRelOptions(PointerGetDatum(array));
	const PQconninfoOption *known = known_options();

	foreach_node(DefElem, def, options)
	{
		const PQconninfoOption *option = option_find(known, def->defname);
		const char *hint;

		if (is_own_option(def, catalog) ||
			(option != NULL && is_option_of(option, catalog)))
			continue;

		hint = option_hint(known, def->defname, catalog);
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("invalid option \"%s\"", def->defname),
				 hint != NULL ? errhint("%s", hint) : 0));
	}
	PG_RETURN_VOID();
}
