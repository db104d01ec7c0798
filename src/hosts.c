/*-------------------------------------------------------------------------
 *
 * hosts.c
 *	  The remaining addresses when one of them took too long.
 *
 * libpq goes through its lists of hosts, and the addresses of each, by itself, and
 * we cannot tell it to skip one.  We can only let it begin anew with other lists.
 * So when an address has timed out, we make lists of the addresses that libpq
 * would have tried next: the hosts after it; those before it where libpq may yet
 * try them; and the other addresses of its name, each as a host of its own.  Every
 * time there are fewer addresses, or fewer names whose addresses are not known, so
 * that this ends.
 *
 * A shutdown() of the socket, which would make libpq go on by itself, cannot take
 * the place of this file: libpq then reports that the server closed the connection
 * and not that the time is over, and behind a server that has accepted the
 * connection and says nothing it does not try the next host.
 *
 * Memory: everything is in the caller's memory context, and so is the owner of
 * the resolver's results.
 *
 * Not bounded in time: looking up a name blocks, here as in libpq.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <sys/socket.h>

#include "dblink.h"

#include "nodes/pg_list.h"

/* Where libpq connects to if no host is named. */
#define DEFAULT_HOST \
	(DEFAULT_PGSOCKET_DIR[0] != '\0' ? DEFAULT_PGSOCKET_DIR : "localhost")

/* One element of each of libpq's three lists. */
typedef struct DblinkHost
{
	const char *host;			/* name, address or directory; may be empty if
								 * there is a hostaddr */
	const char *hostaddr;		/* numeric address; empty: that of the host */
	const char *port;			/* never empty */
} DblinkHost;

/* The result of the resolver; NULL until then. */
typedef struct DblinkAddresses
{
	struct addrinfo *first;
	MemoryContextCallback callback;
} DblinkAddresses;

/*
 * Return the value of an option; empty if it is not set, which is the same to
 * libpq here.
 */
static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
	const char *value = dbl_opt_value(options, keyword);

	return value != NULL ? value : "";
}

/*
 * Return the number of elements of a comma-separated list.  An empty one has one.
 */
static int
count_elements(const char *list)
{
	int			n = 1;

	for (; *list != '\0'; list++)
	{
		if (*list == ',')
			n++;
	}
	return n;
}

/*
 * Return element n of a comma-separated list; empty if there is none.
 */
static const char *
element(const char *list, int n)
{
	for (; n > 0; n--)
	{
		list += strcspn(list, ",");
		if (*list == '\0')
			return list;
		list++;
	}
	return pnstrdup(list, strcspn(list, ","));
}

/*
 * Return element n of the list of hosts, or what an empty one means to libpq.
 */
static const char *
host_element(const char *hosts, const char *hostaddr, int n)
{
	const char *host = element(hosts, n);

	return host[0] != '\0' || hostaddr[0] != '\0' ? host : DEFAULT_HOST;
}

/*
 * Return a port as libpq uses it, because PQport() of 15 returns an empty one as
 * it is.
 */
static const char *
port_or_default(const char *port)
{
	return port != NULL && port[0] != '\0' ? port : DEF_PGPORT_STR;
}

/*
 * Make an entry of these strings.
 */
static DblinkHost *
entry_make(const char *host, const char *hostaddr, const char *port)
{
	DblinkHost *entry = palloc(sizeof(DblinkHost));

	/* libpq must not fill in a default that we do not know of. */
	Assert(host[0] != '\0' || hostaddr[0] != '\0');
	Assert(port[0] != '\0');

	entry->host = host;
	entry->hostaddr = hostaddr;
	entry->port = port;
	return entry;
}

/*
 * Begin with all hosts of the options of a connection, whose lists libpq has found
 * to be of the same length.
 */
static void
hosts_init(DblinkHosts *hosts, const PQconninfoOption *options)
{
	const char *names = value_of(options, "host");
	const char *hostaddrs = value_of(options, "hostaddr");
	const char *ports = value_of(options, "port");
	int			n = count_elements(hostaddrs[0] != '\0' ? hostaddrs : names);

	Assert(hosts->entries == NIL);

	for (int i = 0; i < n; i++)
	{
		const char *hostaddr = element(hostaddrs, i);
		const char *host = host_element(names, hostaddr, i);
		const char *port = element(ports, strchr(ports, ',') ? i : 0);

		hosts->entries = lappend(hosts->entries,
								 entry_make(host, hostaddr, port_or_default(port)));
	}
	hosts->has_names = names[0] != '\0';
	hosts->has_hostaddrs = hostaddrs[0] != '\0';
	hosts->earlier_too =
		strcmp(value_of(options, "load_balance_hosts"), "random") == 0 ||
		strcmp(value_of(options, "target_session_attrs"), "prefer-standby") == 0;
}

/*
 * Return the first entry of the host and port that libpq is trying, with this
 * address as it is written, or with any for NULL; NULL if there is none.
 */
static DblinkHost *
entry_find(const DblinkHosts *hosts, PGconn *pgconn, const char *hostaddr)
{
	foreach_ptr(DblinkHost, entry, hosts->entries)
	{
		const char *host = entry->host[0] != '\0' ? entry->host : entry->hostaddr;

		if (strcmp(host, PQhost(pgconn)) == 0 &&
			strcmp(entry->port, port_or_default(PQport(pgconn))) == 0 &&
			(hostaddr == NULL || strcmp(entry->hostaddr, hostaddr) == 0))
			return entry;
	}
	return NULL;
}

/*
 * Reset callback: free the resolver's result.
 */
static void
addresses_close(void *arg)
{
	DblinkAddresses *owner = arg;

	if (owner->first != NULL)
		freeaddrinfo(owner->first);
}

/*
 * Look up a name as libpq does.  Returns NULL if it has no address, or the lookup
 * fails.  The current memory context owns the result.
 */
static struct addrinfo *
addresses_open(const char *name)
{
	DblinkAddresses *owner = palloc0(sizeof(DblinkAddresses));
	struct addrinfo hints = {0};

	owner->callback.func = addresses_close;
	owner->callback.arg = owner;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &owner->callback);

	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(name, NULL, &hints, &owner->first) != 0)
		owner->first = NULL;
	return owner->first;
}

/*
 * Check whether libpq's messages so far tell of a failure at this address of an
 * entry.  Where they are in another language the answer is "false", which costs
 * another attempt.
 */
static bool
is_told_of(PGconn *pgconn, const DblinkHost *entry, const char *hostaddr)
{
	const char *prefix = psprintf("connection to server at \"%s\" (%s), port %s failed: ",
								  entry->host, hostaddr, entry->port);

	return strstr(PQerrorMessage(pgconn), prefix) != NULL;
}

/*
 * Return the other addresses of an entry that is a name, as entries, without those
 * that failed before the current one.  We cannot tell these by their order,
 * because many name servers return another one each time.
 */
static List *
other_addresses(const DblinkHosts *hosts, const DblinkHost *entry, PGconn *pgconn)
{
	List	   *others = NIL;
	struct addrinfo *address;

	/* A socket's directory has no address, and is an exact match. */
	Assert(entry->hostaddr[0] == '\0' && PQhostaddr(pgconn)[0] != '\0');

	for (address = addresses_open(entry->host); address != NULL; address = address->ai_next)
	{
		char		hostaddr[NI_MAXHOST];

		if (getnameinfo(address->ai_addr, address->ai_addrlen, hostaddr,
						sizeof(hostaddr), NULL, 0, NI_NUMERICHOST) != 0 ||
			strcmp(hostaddr, PQhostaddr(pgconn)) == 0 ||
			(!hosts->earlier_too && is_told_of(pgconn, entry, hostaddr)))
			continue;
		others = lappend(others,
						 entry_make(entry->host, pstrdup(hostaddr), entry->port));
	}
	return others;
}

/*
 * Return the remaining entries, without the address that libpq is trying.
 *
 * libpq does not tell which of the entries it is at.  An entry with this very
 * address is dropped.  One without an address can stand for it, too, and is
 * replaced by its other addresses.  If there are both, libpq can be at either: we
 * go on behind the first of them, so that no host is missed, and without the
 * other's address, so that it is not tried again.
 */
static List *
entries_left(const DblinkHosts *hosts, PGconn *pgconn)
{
	DblinkHost *exact = entry_find(hosts, pgconn, PQhostaddr(pgconn));
	DblinkHost *unresolved = entry_find(hosts, pgconn, "");
	List	   *left = NIL;
	bool		passed = false;

	/* The same address can be written in many ways. */
	if (exact == NULL && unresolved == NULL)
		exact = entry_find(hosts, pgconn, NULL);

	foreach_ptr(DblinkHost, entry, hosts->entries)
	{
		if (entry == exact)
			passed = true;
		else if (entry == unresolved)
		{
			left = list_concat(left, other_addresses(hosts, entry, pgconn));
			passed = true;
		}
		else if (passed || hosts->earlier_too)
			left = lappend(left, entry);
	}

	/* If it is none of the entries, we cannot tell which ones remain. */
	return passed ? left : NIL;
}

/*
 * Check whether this entry alone would make an empty list in place of one of the
 * connection string's.  libpq would ignore an empty list and use the string's, so
 * the entry has to be listed twice.
 */
static bool
is_overlooked(const DblinkHosts *hosts, const DblinkHost *entry)
{
	return (hosts->has_names && entry->host[0] == '\0') ||
		(hosts->has_hostaddrs && entry->hostaddr[0] == '\0');
}

/*
 * Write the entries as the three lists of libpq.
 */
static void
write_lists(DblinkHosts *hosts)
{
	StringInfoData host;
	StringInfoData hostaddr;
	StringInfoData port;
	const char *separator = "";

	Assert(hosts->entries != NIL);

	initStringInfo(&host);
	initStringInfo(&hostaddr);
	initStringInfo(&port);
	foreach_ptr(DblinkHost, entry, hosts->entries)
	{
		appendStringInfo(&host, "%s%s", separator, entry->host);
		appendStringInfo(&hostaddr, "%s%s", separator, entry->hostaddr);
		appendStringInfo(&port, "%s%s", separator, entry->port);
		separator = ",";
	}
	hosts->host = host.data;
	hosts->hostaddr = hostaddr.data;
	hosts->port = port.data;
}

/*
 * Take the address that libpq is trying out of the hosts to connect to.  Returns
 * false if there is no other.
 *
 * The struct is zero before the first time, and is then filled with the hosts in
 * the options, which are those that the connection uses.
 */
bool
dbl_hosts_skip(DblinkHosts *hosts, const PQconninfoOption *options, PGconn *pgconn)
{
	if (hosts->entries == NIL)
		hosts_init(hosts, options);
	hosts->entries = entries_left(hosts, pgconn);
	if (hosts->entries == NIL)
		return false;

	if (list_length(hosts->entries) == 1 &&
		is_overlooked(hosts, linitial(hosts->entries)))
		hosts->entries = lappend(hosts->entries, linitial(hosts->entries));
	write_lists(hosts);
	return true;
}
