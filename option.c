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
static const char *valid_options_list(const PQconninfoOption *known,
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
 * nobody's.  The user and what libpq marks as secret ("*") belong to user
 * mappings, all else to servers.
 */
static bool
is_option_of(const PQconninfoOption *option, Oid catalog)
{
	if (strchr(option->dispchar, 'D') != NULL ||
		strcmp(option->keyword, "client_encoding") == 0)
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
	conninfo = wiped_string_open(quoted_size(server->options) +
								 quoted_size(mapping->options) + 1);
	end = append_options(conninfo->data, known, server->options,
						 ForeignServerRelationId);
	append_options(end, known, mapping->options, UserMappingRelationId);
	return conninfo->data;
}

/*
 * The options that are valid in objects of "catalog", separated by commas.
 */
static const char *
valid_options_list(const PQconninfoOption *known, Oid catalog)
{
	StringInfoData buf;
	const PQconninfoOption *option;

	initStringInfo(&buf);
	for (option = known; option->keyword != NULL; option++)
	{
		if (is_option_of(option, catalog))
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 option->keyword);
	}
	return buf.data;
}

/*
 * dblink_fdw_validator(options text[], catalog oid) returns void
 *
 * Called by CREATE and ALTER SERVER, USER MAPPING and so on with the options
 * that the object will have, and the catalog that holds such objects.
 *
 * Throws HV00J for the first option that is not legal there.
 */
Datum
dblink_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	const PQconninfoOption *known = known_options();
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const PQconninfoOption *option = option_find(known, def->defname);
		const char *valid;

		if (option != NULL && is_option_of(option, catalog))
			continue;

		valid = valid_options_list(known, catalog);
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("invalid option \"%s\"", def->defname),
				 valid[0] != '\0' ?
				 errhint("Valid options in this context are: %s", valid) :
				 errhint("There are no valid options in this context.")));
	}
	PG_RETURN_VOID();
}
