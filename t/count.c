/*-------------------------------------------------------------------------
 *
 * count.c
 *	  A test instrument: counts the objects of libpq that a session has open.
 *
 * Not part of a normal build: see count.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "../dblink.h"

#include "port/atomics.h"

/* Objects that are open.  Atomic, because threads free cancel requests. */
static pg_atomic_uint32 counts[DBLINK_COUNT_KINDS];

/* The text that dblink.open_objects shows, written anew each time. */
static char shown[200];

/* The value of the setting itself, which its show hook hides. */
static char *unused;

/*
 * Show hook of dblink.open_objects.  The returned string is valid until the next
 * call.
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
 * Define dblink.open_objects.  Called once, when the library is loaded.
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
 * Count an object that a libpq function has returned, unless it is NULL.
 * Returns the object.
 */
void *
dbl_count_made(DblinkCounted kind, void *object)
{
	if (object != NULL)
		pg_atomic_fetch_add_u32(&counts[kind], 1);
	return object;
}

/*
 * Discount an object that is about to be freed, unless it is NULL.  Returns the
 * object.
 */
void *
dbl_count_freed(DblinkCounted kind, void *object)
{
	if (object != NULL)
		pg_atomic_fetch_sub_u32(&counts[kind], 1);
	return object;
}

/*
 * Count a descriptor, if it was reserved.  Returns whether it was.
 */
bool
dbl_count_fd_made(bool made)
{
	if (made)
		pg_atomic_fetch_add_u32(&counts[DBLINK_COUNT_FD], 1);
	return made;
}

/*
 * Discount a descriptor that is about to be released.
 */
void
dbl_count_fd_freed(void)
{
	pg_atomic_fetch_sub_u32(&counts[DBLINK_COUNT_FD], 1);
}
