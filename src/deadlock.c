/*-------------------------------------------------------------------------
 *
 * deadlock.c
 *	  Calls that wait for this very session.
 *
 * A remote statement that runs on this server may wait for a lock that this session
 * holds, while this session waits for the statement.  The server sees only the first
 * half of that, so its own deadlock detector never finds it.  We see the second half,
 * and look up the first in the lock manager: for whom the remote backend waits, for
 * whom they wait, and so on, until we get back to ourselves or to a connection of ours
 * that waits for its next command.
 *
 * If the remote waits for us directly, that can't end: we are in no queue for a lock,
 * so it waits for a lock that we hold, and we release none while we wait.  Others on
 * the way may give up, so what is known then is only how long it has stood.  What
 * follows from a finding is decided in watch.c.
 *
 * A backend is looked at only if the connection surely leads to it, because a process
 * number that a server tells us may be by chance that of a process of ours.
 *
 * All here is in shared memory of the lock manager: no catalog is read, and no
 * snapshot is taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "dblink.h"

#include "common/hashfn.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/predicate_internals.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"

/* Most processes that are looked at for one finding. */
#define MAX_PROCS		100

/* A process that the remote waits for, directly or through others. */
typedef struct Blocker
{
	int			pid;			/* as that of its lock group's leader */
	int			waiter;			/* index of the one that waits for it, or -1 */
	bool		is_ours;		/* this session holds the lock itself */
	LOCKTAG		tag;			/* of the lock that is waited for */
	LOCKMODE	mode;			/* in which it is; NoLock for a safe snapshot */
	TimestampTz wait_start;		/* since when; 0 if that is not known */
} Blocker;

/* The processes found so far; the first is the remote's. */
typedef struct Search
{
	const DblinkConn *conn;
	int			me;				/* the leader of our lock group */
	int			n;
	Blocker		procs[MAX_PROCS];
} Search;

/*
 * Check whether two addresses are the same.
 */
static bool
is_same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *) a;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *) b;
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *) a;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *) b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
			memcmp(&a4->sin_addr, &b4->sin_addr, sizeof(a4->sin_addr)) == 0;
	return a->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
		memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/*
 * Check whether a backend of this server has a client with this address.
 *
 * Statistics are a snapshot of the transaction.  We take one of our own, because an
 * older one lacks a younger backend, and leave none behind.
 */
static bool
has_client(int pid, const struct sockaddr_storage *address)
{
	bool		found = false;

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends() && !found; i++)
	{
		LocalPgBackendStatus *local = dbl_backend_status(i);

		found = local != NULL && local->backendStatus.st_procpid == pid &&
			is_same_address(&local->backendStatus.st_clientaddr.addr, address);
	}
	pgstat_clear_backend_activity_snapshot();
	return found;
}

/*
 * Check whether the connection surely leads to the backend of this server that has
 * the process number which the remote has told: nothing is between us and it.
 */
static bool
is_surely_here(const DblinkConn *conn)
{
	struct sockaddr_storage address = {0};
	socklen_t	len = sizeof(address);

	if (!conn->loops_back)
		return false;
	if (conn->loopback)
		return true;
	if (getsockname(PQsocket(conn->pgconn), (struct sockaddr *) &address, &len) != 0)
		return false;
	if (address.ss_family == AF_UNIX)
		return dbl_loop_is_postmaster(conn->pgconn);
	return has_client(PQbackendPID(conn->pgconn), &address);
}

/*
 * Check whether a process serves another connection of ours that waits for its next
 * command: then it waits for this session.
 */
static bool
is_idle_sibling(const DblinkConn *conn, int pid)
{
	dbl_reg_foreach(other)
	{
		PGTransactionStatusType status = PQtransactionStatus(other->pgconn);

		if (other != conn && other->open && PQbackendPID(other->pgconn) == pid &&
			(status == PQTRANS_IDLE || status == PQTRANS_INTRANS || status == PQTRANS_INERROR))
			return is_surely_here(other);
	}
	return false;
}

/*
 * Add a process that procs[waiter] waits for, unless it is there.  Process 0 is a
 * prepared transaction, which waits for nothing that we know.
 */
static void
add_blocker(Search *search, const Blocker *blocker)
{
	if (blocker->pid == 0 || search->n == MAX_PROCS)
		return;
	for (int i = 0; i < search->n; i++)
	{
		if (search->procs[i].pid == blocker->pid)
			return;
	}
	search->procs[search->n++] = *blocker;
}

/*
 * Check whether a process stands before another in the queue for a lock.
 */
static bool
is_ahead(const BlockedProcsData *data, const BlockedProcData *blocked, int pid)
{
	for (int i = 0; i < blocked->num_waiters; i++)
	{
		if (data->waiter_pids[blocked->first_waiter + i] == pid)
			return true;
	}
	return false;
}

/*
 * Return what a blocked process has to do with the lock that it waits for.
 */
static const LockInstanceData *
own_instance(const BlockedProcsData *data, const BlockedProcData *blocked)
{
	for (int i = blocked->first_lock; i < blocked->first_lock + blocked->num_locks; i++)
	{
		if (data->locks[i].pid == blocked->pid && data->locks[i].waitLockMode != NoLock)
			return &data->locks[i];
	}
	return NULL;
}

/*
 * Return since when a process waits for a lock; 0 if that is not known, because it
 * has only begun to, or waits no more.  (GetBlockerStatusData() leaves it out.)
 */
static TimestampTz
wait_start(int pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	return proc != NULL ? (TimestampTz) pg_atomic_read_u64(&proc->waitStart) : 0;
}

/*
 * Add the processes that a blocked one waits for: those that hold the lock in a mode
 * that conflicts, and those before it in the queue that want it in such a mode.
 */
static void
add_holders(Search *search, int waiter, const BlockedProcsData *data,
			const BlockedProcData *blocked)
{
	const LockInstanceData *own = own_instance(data, blocked);
	LOCKMASK	conflicts;

	if (own == NULL)
		return;
	conflicts = GetLockTagsMethodTable(&own->locktag)->conflictTab[own->waitLockMode];
	for (int i = blocked->first_lock; i < blocked->first_lock + blocked->num_locks; i++)
	{
		const LockInstanceData *other = &data->locks[i];
		bool		holds = (conflicts & other->holdMask) != 0;
		Blocker		blocker = {
			.pid = other->leaderPid,
			.waiter = waiter,
			.is_ours = holds && other->pid == MyProcPid,
			.tag = own->locktag,
			.mode = own->waitLockMode,
			.wait_start = wait_start(blocked->pid)
		};

		if (other->leaderPid == own->leaderPid)
			continue;
		if (holds ||
			((conflicts & LOCKBIT_ON(other->waitLockMode)) != 0 &&
			 other->waitLockMode != NoLock && is_ahead(data, blocked, other->pid)))
			add_blocker(search, &blocker);
	}
}

/*
 * Add the processes that keep one from getting a safe snapshot.
 */
static void
add_snapshot_holders(Search *search, int waiter)
{
	int			pids[MAX_PROCS];
	int			n = GetSafeSnapshotBlockingPids(search->procs[waiter].pid, pids, MAX_PROCS);

	for (int i = 0; i < n; i++)
	{
		Blocker		blocker = {
			.pid = pids[i],
			.waiter = waiter,
			.is_ours = pids[i] == MyProcPid,
			.mode = NoLock
		};

		add_blocker(search, &blocker);
	}
}

/*
 * Add the processes that procs[waiter] waits for.  Returns whether it waits for a lock, no
 * matter who holds that.
 */
static bool
add_blockers(Search *search, int waiter)
{
	BlockedProcsData *data = GetBlockerStatusData(search->procs[waiter].pid);

	for (int i = 0; i < data->nprocs; i++)
		add_holders(search, waiter, data, &data->procs[i]);
	if (data->nprocs == 0)
		add_snapshot_holders(search, waiter);
	return data->nprocs > 0;
}

/*
 * Follow the waits from the remote's process on.  Returns the index of the process at
 * which they come back to us: this session, or the process of a connection of ours;
 * -1 if they do not.
 */
static int
search_way_back(Search *search)
{
	for (int i = 0; i < search->n; i++)
	{
		if (search->procs[i].pid == search->me)
			return i;
		if (!add_blockers(search, i) && i > 0 &&
			is_idle_sibling(search->conn, search->procs[i].pid))
			return i;
	}
	return -1;
}

/*
 * Append to the detail of the error that one process waits for another.
 */
static void
append_wait(StringInfo buf, int waiter, const Blocker *blocker)
{
	appendStringInfo(buf, _("Process %d waits for "), waiter);
	if (blocker->mode == NoLock)
		appendStringInfoString(buf, "a safe snapshot");
	else
	{
		appendStringInfo(buf, "%s on ",
						 GetLockmodeName(blocker->tag.locktag_lockmethodid, blocker->mode));
		DescribeLockTag(buf, &blocker->tag);
	}
	appendStringInfo(buf, _("; blocked by process %d.\n"), blocker->pid);
}

/*
 * Describe the waits up to procs[last], and note which they are: the processes, and
 * since when each waits.  A chain in which that is not known is none yet.
 */
static void
describe(Search *search, int last, DblinkDeadlock *found)
{
	const Blocker *blocker = &search->procs[last];
	StringInfoData buf;

	initStringInfo(&buf);
	found->chain = hash_bytes_extended((const unsigned char *) &blocker->pid,
									   sizeof(blocker->pid), 0);
	for (; blocker->waiter >= 0; blocker = &search->procs[blocker->waiter])
	{
		const Blocker *waiter = &search->procs[blocker->waiter];
		StringInfoData rest = buf;

		initStringInfo(&buf);
		append_wait(&buf, waiter->pid, blocker);
		appendBinaryStringInfo(&buf, rest.data, rest.len);
		found->chain = hash_bytes_extended((const unsigned char *) &waiter->pid,
										   sizeof(waiter->pid), found->chain);
		found->chain = hash_bytes_extended((const unsigned char *) &blocker->wait_start,
										   sizeof(blocker->wait_start), found->chain);
		if (found->kind == DBLINK_DEADLOCK_CHAIN && blocker->mode != NoLock &&
			blocker->wait_start == 0)
			found->kind = DBLINK_DEADLOCK_NONE;
	}
	if (search->procs[last].pid != search->me)
		appendStringInfo(&buf, _("Process %d waits for the next command of process %d.\n"),
						 search->procs[last].pid, MyProcPid);
	appendStringInfo(&buf, _("Process %d waits for the remote statement of process %d."),
					 MyProcPid, search->procs[0].pid);
	found->detail = buf.data;
}

/*
 * Look whether the remote statement that a call waits for waits for this session.
 */
static void
look(DblinkConn *conn, DblinkDeadlock *found)
{
	Search	   *search = palloc0(sizeof(Search));
	const Blocker *blocker;
	int			last;

	search->conn = conn;
	search->me = MyProc->lockGroupLeader != NULL ? MyProc->lockGroupLeader->pid : MyProcPid;
	search->procs[0].pid = PQbackendPID(conn->pgconn);
	search->procs[0].waiter = -1;
	search->n = 1;

	last = search_way_back(search);
	if (last <= 0 || !is_surely_here(conn))
		return;
	blocker = &search->procs[last];
	found->kind = blocker->waiter == 0 && blocker->is_ours ?
		DBLINK_DEADLOCK_DIRECT : DBLINK_DEADLOCK_CHAIN;
	found->waits_for_xact = blocker->tag.locktag_type == LOCKTAG_VIRTUALTRANSACTION;
	describe(search, last, found);
}

/*
 * The same, as watch.c asks for it: memory is used for this look only, because a
 * wait may be long; only found->detail stays, and is the caller's.
 */
void
dbl_deadlock_look(DblinkConn *conn, DblinkDeadlock *found)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dblink deadlock",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	memset(found, 0, sizeof(*found));
	look(conn, found);
	MemoryContextSwitchTo(caller);
	found->detail = found->kind != DBLINK_DEADLOCK_NONE ? pstrdup(found->detail) : NULL;
	MemoryContextDelete(context);
}
