/*
 * option_fake.c - connection options that are not allowed.
 *
 * For t/forbidden_options.pl, which compiles it and has the server load it before all
 * else (LD_PRELOAD).  It fakes one of two things:
 *
 *	FAKE_LIST	a server whose own list of allowed options, which newer minor
 *				releases have, does not have application_name
 *	FAKE_LIBPQ	a libpq that knows the option sslkeylogfile, which no list has:
 *				it is sslsni under another name
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <libpq-fe.h>

#ifdef FAKE_LIST
bool
libpqsrv_is_valid_proxy_option(const char *keyword)
{
	return strcmp(keyword, "application_name") != 0;
}
#endif

#ifdef FAKE_LIBPQ
PQconninfoOption *
PQconninfoParse(const char *conninfo, char **error)
{
	PQconninfoOption *(*parse) (const char *, char **) = (PQconninfoOption *(*) (const char *, char **)) dlsym(RTLD_NEXT, "PQconninfoParse");
	PQconninfoOption *options = parse(conninfo, error);

	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "sslsni") == 0)
			option->keyword = "sslkeylogfile";
	}
	return options;
}
#endif
