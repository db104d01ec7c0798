/*-------------------------------------------------------------------------
 *
 * option.c
 *	  Connection options: of strings, of foreign servers, of user mappings.
 *
 * libpq says which options there are; one rule here says where each belongs.
 * A foreign server holds what describes the remote, a user mapping holds who
 * connects and his secrets.  The validator refuses anything else when it is
 * written.  Servers of other wrappers may hold options of all kinds; when a
 * conninfo string is made, what is not libpq's or not in its place is skipped.
 *
 * Option arrays that libpq allocates are owned by the memory context that is
 * current when they are made, through a reset callback.  The same callback
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
#include "foreign/foreign.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"

/* An option of servers and user mappings that libpq does not know. */
#define PASSTHROUGH_OPTION	"use_scram_passthrough"

/* A login with the session's SCRAM keys, and the most that it takes. */
#define SCRAM_KEYS_FORMAT \
	"scram_client_key='%s' scram_server_key='%s' require_auth='scram-sha-256' "
#define SCRAM_KEYS_SIZE		(sizeof(SCRAM_KEYS_FORMAT) + sizeof(DblinkScramKeys))

/* What libpq allocated on our behalf; the fields are NULL until then. */
typedef struct OwnedOptions
{
	PQconninfoOption *options;
	char	   *error;			/* why a string did not parse */
	MemoryContextCallback callback;
} OwnedOptions;

/* A string to be wiped with the context that it is allocated in. */
typedef struct WipedString
{
	MemoryContextCallback callback;
	size_t		size;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} WipedString;

PG_FUNCTION_INFO_V1(dblink_fdw_validator);

static OwnedOptions *owner_open(void);
static void owner_close(void *arg);
static WipedString *wiped_string_open(size_t size);
static void wiped_string_close(void *arg);
static bool is_option_of(const PQconninfoOption *option, Oid catalog);
static const PQconninfoOption *known_options(void);
static const PQconninfoOption *option_find(const PQconninfoOption *options,
										   const char *keyword);
static size_t quoted_size(List *options);
static char *append_quoted(char *dest, const char *value);
static char *append_options(char *dest, const PQconninfoOption *known,
							List *options, Oid catalog);
static bool is_passthrough(List *server_options, List *mapping_options);
static bool is_passthrough_option(DefElem *def, Oid catalog);
static DefElem *defelem_find(List *options, const char *name);
static char *append_scram_keys(char *dest);
static const char *option_hint(const PQconninfoOption *known, const char *wrong,
							   Oid catalog);

/*
 * Make an owner for what a libpq function is about to allocate.  It frees
 * that when the current memory context goes away.
 */
static OwnedOptions *
owner_open(void)
{
	OwnedOptions *owner = palloc0(sizeof(OwnedOptions));

	owner->callback.func = owner_close;
	owner->callback.arg = owner;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);
	return owner;
}

/*
 * Reset callback: wipe the values and free what libpq allocated.
 */
static void
owner_close(void *arg)
{
	OwnedOptions *owner = arg;
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
 * Parse a conninfo string.  Gives the options, one entry for every option
 * that libpq knows, owned by the current memory context.  If the string does
 * not parse gives NULL, and the reason in *error; that is NULL too if memory
 * ran out.
 */
const PQconninfoOption *
dbl_opt_parse(const char *conninfo, const char **error)
{
	OwnedOptions *owner = owner_open();

	owner->options = PQconninfoParse(conninfo, &owner->error);
	*error = owner->error;
	return owner->options;
}

/*
 * The options that a connection really uses, with those from a service, the
 * environment and libpq's defaults.  NULL if memory ran out.  Owned by the
 * current memory context.
 */
const PQconninfoOption *
dbl_opt_effective(PGconn *pgconn)
{
	OwnedOptions *owner = owner_open();

	owner->options = PQconninfo(pgconn);
	return owner->options;
}

/*
 * Value of an option, which may be empty; NULL if it is not set, or not known
 * to libpq.
 */
const char *
dbl_opt_value(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *option = option_find(options, keyword);

	return option != NULL ? option->val : NULL;
}

/*
 * The entry of an option, NULL if libpq does not know it.
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
 * All options that libpq knows.  Owned by the current memory context.
 */
static const PQconninfoOption *
known_options(void)
{
	OwnedOptions *owner = owner_open();

	owner->options = PQconndefaults();
	if (owner->options == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Could not get libpq's default connection options.")));
	return owner->options;
}

/*
 * Allocate a string that is wiped when the current memory context goes away.
 */
static WipedString *
wiped_string_open(size_t size)
{
	WipedString *string = palloc0(offsetof(WipedString, data) + size);

	string->size = size;
	string->callback.func = wiped_string_close;
	string->callback.arg = string;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &string->callback);
	return string;
}

/*
 * Reset callback: overwrite the string.
 */
static void
wiped_string_close(void *arg)
{
	WipedString *string = arg;

	explicit_bzero(string->data, string->size);
}

/*
 * May the option stand in objects of this system catalog?
 *
 * The encoding is the database's own and not to be chosen; debug options are
 * nobody's, nor are those of OAuth, for which somebody would have to log in by a
 * browser.  The user and what libpq marks as secret ("*") belong to user
 * mappings, all else to servers.
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
 * An upper bound for the size of options (a list of DefElem) as append_options
 * writes them.
 */
static size_t
quoted_size(List *options)
{
	size_t		size = 0;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);

		size += strlen(def->defname) + 2 * strlen(defGetString(def)) + 4;
	}
	return size;
}

/*
 * Write a value as a conninfo string quotes it.  Gives the new end.
 */
static char *
append_quoted(char *dest, const char *value)
{
	*dest++ = '\'';
	for (; *value != '\0'; value++)
	{
		if (*value == '\\' || *value == '\'')
			*dest++ = '\\';
		*dest++ = *value;
	}
	*dest++ = '\'';
	return dest;
}

/*
 * Write those options that belong into objects of "catalog" as key='value'.
 * Gives the new end.
 */
static char *
append_options(char *dest, const PQconninfoOption *known,
			   List *options, Oid catalog)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const PQconninfoOption *option = option_find(known, def->defname);

		if (option == NULL || !is_option_of(option, catalog))
			continue;
		strcpy(dest, def->defname);
		dest += strlen(dest);
		*dest++ = '=';
		dest = append_quoted(dest, defGetString(def));
		*dest++ = ' ';
	}
	return dest;
}

/*
 * The option of this name; NULL if there is none.
 */
static DefElem *
defelem_find(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, name) == 0)
			return def;
	}
	return NULL;
}

/*
 * Is the session's own SCRAM login to be passed on to the server?  The user
 * mapping decides, else the server.  Throws 42601 if that is no Boolean.
 */
static bool
is_passthrough(List *server_options, List *mapping_options)
{
	DefElem    *def;

	if (!DBLINK_SCRAM_PASSTHROUGH)
		return false;
	def = defelem_find(mapping_options, PASSTHROUGH_OPTION);
	if (def == NULL)
		def = defelem_find(server_options, PASSTHROUGH_OPTION);
	return def != NULL && defGetBoolean(def);
}

/*
 * Is it the one option of ours that libpq does not know, and in its place?
 * Throws 42601 if its value is no Boolean.
 */
static bool
is_passthrough_option(DefElem *def, Oid catalog)
{
	if (!DBLINK_SCRAM_PASSTHROUGH ||
		strcmp(def->defname, PASSTHROUGH_OPTION) != 0 ||
		(catalog != ForeignServerRelationId && catalog != UserMappingRelationId))
		return false;
	(void) defGetBoolean(def);
	return true;
}

/*
 * Write what makes libpq log in with the session's SCRAM keys, and in no other
 * way; nothing if it has none.  At most SCRAM_KEYS_SIZE bytes.  Gives the new
 * end.
 */
static char *
append_scram_keys(char *dest)
{
	DblinkScramKeys keys;

	if (dbl_scram_keys(&keys))
		dest += snprintf(dest, SCRAM_KEYS_SIZE, SCRAM_KEYS_FORMAT,
						 keys.client, keys.server);
	explicit_bzero(&keys, sizeof(keys));
	return dest;
}

/*
 * The conninfo string for "source": that of the foreign server of this name,
 * of any wrapper, with the user mapping of the effective user; "source" itself
 * if there is no such server.
 *
 * Throws 42704 if the user has no mapping for the server, then 42501 if he
 * may not use it.  The string is wiped with the current memory context.
 */
const char *
dbl_opt_conninfo(const char *source)
{
	char	   *name = pstrdup(source);
	ForeignServer *server;
	UserMapping *mapping;
	const PQconninfoOption *known;
	WipedString *conninfo;
	char	   *end;

	truncate_identifier(name, strlen(name), false);
	server = GetForeignServerByName(name, true);
	if (server == NULL)
		return source;

	mapping = GetUserMapping(GetUserId(), server->serverid);
	if (object_aclcheck(ForeignServerRelationId, server->serverid,
						GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER,
					   server->servername);

	known = known_options();
	conninfo = wiped_string_open(SCRAM_KEYS_SIZE +
								 quoted_size(server->options) +
								 quoted_size(mapping->options) + 1);
	end = conninfo->data;

	/* COMPAT: options that the server sets win over these. */
	if (is_passthrough(server->options, mapping->options))
		end = append_scram_keys(end);
	end = append_options(end, known, server->options, ForeignServerRelationId);
	append_options(end, known, mapping->options, UserMappingRelationId);
	return conninfo->data;
}

/*
 * The hint about an option that is not legal in objects of "catalog"; NULL if
 * there is nothing to say.
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
 * Throws HV00J for the first option that is not legal there, 42601 for one
 * that has to be a Boolean and is not.
 */
Datum
dblink_fdw_validator(PG_FUNCTION_ARGS)
{
	ArrayType  *array = dbl_arg_text_array(fcinfo, 0);
	Oid			catalog = dbl_arg_oid(fcinfo, 1);
	List	   *options = untransformRelOptions(PointerGetDatum(array));
	const PQconninfoOption *known = known_options();
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const PQconninfoOption *option = option_find(known, def->defname);
		const char *hint;

		if (is_passthrough_option(def, catalog) ||
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
