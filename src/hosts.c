/*-------------------------------------------------------------------------
 *
 * hosts.c
 *	  Which addresses are left when one of them took too long.
 *
 * libpq goes through its lists of hosts, and the addresses of each, by itself.
 * It can be told only where to begin.  So when an address has timed out, lists
 * are made of what it would have tried without that address: the hosts after
 * it; those before it where libpq may yet come to them; and the other addresses
 * of its name, each as a host of its own.  Every time there are fewer addresses,
 * or fewer names whose addresses are not known, so that this comes to an end.
 *
 * All is in the caller's memory context, and so is the owner of what the C
 * library's resolver allocated.
 *
 * What is not bounded: looking up a name blocks, here as in libpq.
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
typedef struct Entry
{
	const char *host;			/* name, address or directory; may be empty if
								 * there is a hostaddr */
	const char *hostaddr;		/* numeric address; empty: that of the host */
	const char *port;			/* never empty */
} Entry;

/* What the resolver allocated: NULL until then. */
typedef struct OwnedAddresses
{
	struct addrinfo *first;
	MemoryContextCallback callback;
} OwnedAddresses;

static const char *value_of(const PQconninfoOption *options, const char *keyword);
static int	count_elements(const char *list);
static const char *element(const char *list, int n);
static const char *host_element(const char *hosts, const char *hostaddr, int n);
static const char *port_or_default(const char *port);
static Entry *entry_make(const char *host, const char *hostaddr,
						 const char *port);
static void hosts_init(DblinkHosts *hosts, const PQconninfoOption *options);
static Entry *current_find(const DblinkHosts *hosts, PGconn *pgconn);
static struct addrinfo *addresses_open(const char *name);
static void addresses_close(void *arg);
static bool is_told_of(PGconn *pgconn, const Entry *entry, const char *hostaddr);
static List *other_addresses(const DblinkHosts *hosts, const Entry *entry,
							 PGconn *pgconn);
static List *entries_left(const DblinkHosts *hosts, PGconn *pgconn);
static bool is_overlooked(const DblinkHosts *hosts, const Entry *entry);
static void write_lists(DblinkHosts *hosts);

/*
 * Value of an option; empty if it is not set.  To libpq that is the same.
 */
static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
	const char *value = dbl_opt_value(options, keyword);

	return value != NULL ? value : "";
}

/*
 * How many elements a comma-separated list has.  An empty one has one.
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
 * A copy of element n of a comma-separated list; empty if there is none.
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
 * Element n of the list of hosts, or what libpq takes for an empty one.
 */
static const char *
host_element(const char *hosts, const char *hostaddr, int n)
{
	const char *host = element(hosts, n);

	return host[0] != '\0' || hostaddr[0] != '\0' ? host : DEFAULT_HOST;
}

/*
 * A port as libpq means it: PQport() of 15 tells an empty one as it stands.
 */
static const char *
port_or_default(const char *port)
{
	return port != NULL && port[0] != '\0' ? port : DEF_PGPORT_STR;
}

/*
 * An entry of these strings.
 */
static Entry *
entry_make(const char *host, const char *hostaddr, const char *port)
{
	Entry	   *entry = palloc(sizeof(Entry));

	entry->host = host;
	entry->hostaddr = hostaddr;
	entry->port = port;
	return entry;
}

/*
 * All hosts of the options of a connection, whose lists libpq has found to be
 * of the same length.
 */
static void
hosts_init(DblinkHosts *hosts, const PQconninfoOption *options)
{
	const char *names = value_of(options, "host");
	const char *hostaddrs = value_of(options, "hostaddr");
	const char *ports = value_of(options, "port");
	int			n = count_elements(hostaddrs[0] != '\0' ? hostaddrs : names);

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
 * The entry that libpq is at; NULL if it is none of them.  Of several with that
 * host and port the one that can have the address; it can be written in many ways,
 * so if it is none of them, the first.
 */
static Entry *
current_find(const DblinkHosts *hosts, PGconn *pgconn)
{
	Entry	   *found = NULL;
	ListCell   *cell;

	foreach(cell, hosts->entries)
	{
		Entry	   *entry = lfirst(cell);
		const char *host = entry->host[0] != '\0' ? entry->host : entry->hostaddr;

		if (strcmp(host, PQhost(pgconn)) != 0 ||
			strcmp(entry->port, port_or_default(PQport(pgconn))) != 0)
			continue;
		if (entry->hostaddr[0] == '\0' ||
			strcmp(entry->hostaddr, PQhostaddr(pgconn)) == 0)
			return entry;
		if (found == NULL)
			found = entry;
	}
	return found;
}

/*
 * Look up a name as libpq does.  NULL if it has no address, or the lookup fails.
 * The current memory context owns the result.
 */
static struct addrinfo *
addresses_open(const char *name)
{
	OwnedAddresses *owner = palloc0(sizeof(OwnedAddresses));
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
 * Reset callback: free what the resolver allocated.
 */
static void
addresses_close(void *arg)
{
	OwnedAddresses *owner = arg;

	if (owner->first != NULL)
		freeaddrinfo(owner->first);
}

/*
 * Does what libpq has to say so far tell of this address of an entry?  Where its
 * messages are in another language this says no, which costs a second attempt.
 */
static bool
is_told_of(PGconn *pgconn, const Entry *entry, const char *hostaddr)
{
	const char *prefix = psprintf("connection to server at \"%s\" (%s), port %s failed: ",
								  entry->host, hostaddr, entry->port);

	return strstr(PQerrorMessage(pgconn), prefix) != NULL;
}

/*
 * The other addresses of an entry that is a name, as entries, without those that
 * failed before the current one.  The order does not tell which those are: many
 * name servers give another one each time.
 */
static List *
other_addresses(const DblinkHosts *hosts, const Entry *entry, PGconn *pgconn)
{
	List	   *others = NIL;
	struct addrinfo *address;

	/* a socket's directory has no address */
	if (entry->hostaddr[0] != '\0' || PQhostaddr(pgconn)[0] == '\0')
		return NIL;

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
 * The entries that are left without the address that libpq is at.
 */
static List *
entries_left(const DblinkHosts *hosts, PGconn *pgconn)
{
	Entry	   *current = current_find(hosts, pgconn);
	List	   *left = NIL;
	bool		passed = false;
	ListCell   *cell;

	if (current == NULL)
		return NIL;

	foreach(cell, hosts->entries)
	{
		if (lfirst(cell) != current)
		{
			if (passed || hosts->earlier_too)
				left = lappend(left, lfirst(cell));
		}
		else if (!passed)
		{
			left = list_concat(left, other_addresses(hosts, current, pgconn));
			passed = true;
		}
	}
	return left;
}

/*
 * Would this entry alone make an empty list in place of one of the connection
 * string's?  That would not count; so it has to be listed twice.
 */
static bool
is_overlooked(const DblinkHosts *hosts, const Entry *entry)
{
	return (hosts->has_names && entry->host[0] == '\0') ||
		(hosts->has_hostaddrs && entry->hostaddr[0] == '\0');
}

/*
 * Write the entries as libpq takes them.
 */
static void
write_lists(DblinkHosts *hosts)
{
	StringInfoData host;
	StringInfoData hostaddr;
	StringInfoData port;
	const char *separator = "";
	ListCell   *cell;

	initStringInfo(&host);
	initStringInfo(&hostaddr);
	initStringInfo(&port);
	foreach(cell, hosts->entries)
	{
		const Entry *entry = lfirst(cell);

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
 * Take the address that libpq is at out of the hosts to connect to.  Gives false
 * if none is left.
 *
 * The struct is zero before the first time, and then filled with the hosts in
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
