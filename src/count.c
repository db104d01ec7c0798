/*-------------------------------------------------------------------------
 *
 * count.c
 *	  How many objects of libpq the session has open; for tests.
 *
 * Not part of a normal build: see count.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#ifdef DBLINK_COUNT_OBJECTS

#include "port/atomics.h"

/* Objects that are open.  Atomic, because threads free cancel requests. */
static pg_atomic_uint32 counts[DBLINK_COUNT_KINDS];

/* What dblink.open_objects shows, made anew each time. */
static char shown[200];

/* Its own value, which nobody sees. */
static char *unused;

static const char *show_counts(void);

/*
 * Show hook of dblink.open_objects.  The string lives until the next call.
 */
static const char *
show_counts(void)
{
	snprintf(shown, sizeof(shown),
			 "connections %u, results %u, notifications %u, "
			 "cancel requests %u, option lists %u, descriptors %u",
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_CONNECTION]),
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_RESULT]),
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_NOTIFICATION]),
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_CANCEL]),
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_OPTIONS]),
			 pg_atomic_read_u32(&counts[DBLINK_COUNT_FD]));
	return shown;
}

/*
 * Called when the library is loaded.
 */
void
dbl_count_init(void)
{
	for (int i = 0; i < DBLINK_COUNT_KINDS; i++)
		pg_atomic_init_u32(&counts[i], 0);
	DefineCustomStringVariable("dblink.open_objects",
							   "Shows how many objects of libpq are open.",
							   NULL, &unused, "", PGC_INTERNAL, 0,
							   NULL, NULL, show_counts);
}

/*
 * An object was made; NULL if it could not be.  Gives it back.
 */
void *
dbl_count_made(DblinkCounted kind, void *object)
{
	if (object != NULL)
		pg_atomic_fetch_add_u32(&counts[kind], 1);
	return object;
}

/*
 * An object is about to be freed; NULL is none.  Gives it back.
 */
void *
dbl_count_freed(DblinkCounted kind, void *object)
{
	if (object != NULL)
		pg_atomic_fetch_sub_u32(&counts[kind], 1);
	return object;
}

/*
 * A descriptor was reserved, or not.  Gives which.
 */
bool
dbl_count_fd_made(bool made)
{
	if (made)
		pg_atomic_fetch_add_u32(&counts[DBLINK_COUNT_FD], 1);
	return made;
}

/*
 * A descriptor is about to be given back.
 */
void
dbl_count_fd_freed(void)
{
	pg_atomic_fetch_sub_u32(&counts[DBLINK_COUNT_FD], 1);
}

#endif							/* DBLINK_COUNT_OBJECTS */
