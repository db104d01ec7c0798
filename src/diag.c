/*-------------------------------------------------------------------------
 *
 * diag.c
 *	  The last errors of remote servers, for dblink_error().
 *
 * An error that a statement has thrown can be looked at later: each connection has
 * that of its last call, and the session has the last of all.  They are copied
 * before the error is thrown, because the abort frees everything else.
 *
 * What a remote server says is meant for the role that asked it, so the role is
 * noted with the error, and an error is shown to those who have its privileges.
 *
 * Memory: a context of its own for each error, below TopMemoryContext; the fields
 * are cut, because a remote server can send any amount.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "utils/acl.h"
#include "utils/memutils.h"

/* How much of a field is kept, in bytes. */
#define FIELD_MAX		8192

/* An error that was noted. */
typedef struct DblinkDiagnosis
{
	MemoryContext context;		/* of this and its strings */
	Oid			userid;			/* the role that got it */
	DblinkError error;
} DblinkDiagnosis;

/* The session's last error, or NULL. */
static DblinkDiagnosis *last_diagnosis = NULL;

/*
 * Cut a field, at a character's end, into the current memory context; NULL for NULL.
 */
static const char *
copy_field(const char *field)
{
	int			len;

	if (field == NULL)
		return NULL;
	len = strlen(field);
	if (len > FIELD_MAX)
		len = pg_mbcliplen(field, len, FIELD_MAX);
	return pnstrdup(field, len);
}

/*
 * Make a copy that lives until it is forgotten.
 */
static DblinkDiagnosis *
copy_error(const DblinkError *error)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "dblink error",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller_context = MemoryContextSwitchTo(context);
	DblinkDiagnosis *diagnosis = palloc(sizeof(DblinkDiagnosis));
	DblinkError *copy = &diagnosis->error;

	diagnosis->context = context;
	diagnosis->userid = GetUserId();
	*copy = *error;
	copy->severity = copy_field(error->severity);
	copy->primary = copy_field(error->primary);
	copy->detail = copy_field(error->detail);
	copy->hint = copy_field(error->hint);
	copy->context = copy_field(error->context);
	copy->schema = copy_field(error->schema);
	copy->table = copy_field(error->table);
	copy->column = copy_field(error->column);
	copy->datatype = copy_field(error->datatype);
	copy->constraint = copy_field(error->constraint);
	copy->connname = copy_field(error->connname);
	copy->where = NULL;
	MemoryContextSwitchTo(caller_context);
	return diagnosis;
}

/*
 * Free an error, and its pointer's target is NULL then.
 */
static void
forget(DblinkDiagnosis **diagnosis)
{
	DblinkDiagnosis *old = *diagnosis;

	*diagnosis = NULL;
	if (old != NULL)
		MemoryContextDelete(old->context);
}

/*
 * Note the error of a connection's call, or for NULL the session's, in place of the
 * one before.
 */
void
dbl_diag_note(DblinkConn *conn, const DblinkError *error)
{
	DblinkDiagnosis **place = conn != NULL ? &conn->diagnosis : &last_diagnosis;
	DblinkDiagnosis *copy = copy_error(error);

	forget(place);
	*place = copy;
}

/*
 * A call of the connection begins, or has succeeded all the same.  Never throws.
 */
void
dbl_diag_forget(DblinkConn *conn)
{
	forget(&conn->diagnosis);
}

/*
 * The error of the connection's last call, or for NULL the session's last; NULL if
 * there is none, or none that the effective user may see.
 */
const DblinkError *
dbl_diag_get(DblinkConn *conn)
{
	DblinkDiagnosis *diagnosis = conn != NULL ? conn->diagnosis : last_diagnosis;

	if (diagnosis == NULL || !has_privs_of_role(GetUserId(), diagnosis->userid))
		return NULL;
	return &diagnosis->error;
}
