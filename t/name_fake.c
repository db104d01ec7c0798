/*
 * name_fake.c - names with the addresses that a test wants.
 *
 * For t/hosts.pl, which compiles it and has servers load it before all else
 * (LD_PRELOAD).  The environment variable FAKE_NAMES has the names:
 *
 *	one.test=127.0.0.1:5433 two.test=127.0.0.1:5433,127.0.0.2
 *
 * An address with a port has that one, whichever was asked for.  As with many
 * name servers the order is another one each time: a process that looks up for
 * the second time gets the second address first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* The list of a name: what stands after "name=", up to a blank.  NULL if there is none. */
static const char *
list_find(const char *name)
{
	size_t		len = name ? strlen(name) : 0;
	const char *at = getenv("FAKE_NAMES");

	while (at && !(strncmp(at, name ? name : "", len) == 0 && at[len] == '='))
	{
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? at + len + 1 : NULL;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	static int	lookups = 0;
	Lookup		lookup = (Lookup) dlsym(RTLD_NEXT, "getaddrinfo");
	const char *list = list_find(name);
	int			n = 1;

	if (list == NULL)
		return lookup(name, service, hints, found);

	for (size_t i = 0; i < strcspn(list, " "); i++)
		n += list[i] == ',';
	*found = NULL;
	for (int i = 0; i < n; i++)
	{
		const char *at = list;
		char		address[64] = "";
		char		port[16] = "";
		int			status;

		for (int skip = (i + lookups) % n; skip > 0; skip--)
			at = strchr(at, ',') + 1;
		sscanf(at, "%63[^:, ]:%15[^, ]", address, port);
		while (*found)
			found = &(*found)->ai_next;
		status = lookup(address, port[0] ? port : service, hints, found);
		if (status != 0)
			return status;
	}
	lookups++;
	return 0;
}
