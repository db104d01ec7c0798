/*
 * malloc_fail.c - make the n-th memory allocation of libpq fail.
 *
 * For t/out_of_memory.pl, which compiles it and has the server load it
 * before all else (LD_PRELOAD).  An allocation counts if it is called from
 * libpq or from dblink's library.  The test gives orders through a file that
 * is mapped by all processes of the server, as four 64-bit numbers:
 *
 *	0	the process that is meant; nothing is counted if it is 0
 *	1	which allocation fails, from 1; 0 = none
 *	2	how many fail from there on
 *	3	how many were counted; the test sets it to 0
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static volatile int64_t *orders;
static uintptr_t ranges[2][2];

/* Map the file of orders. */
__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("MALLOC_FAIL_ORDERS");
	int			fd = path ? open(path, O_RDWR) : -1;
	void	   *map;

	if (fd < 0)
		return;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		orders = map;
}

/* Note where the two libraries are. */
static int
look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	int			which = strstr(info->dlpi_name, "/libpq.so") ? 0 :
		strstr(info->dlpi_name, "/dblink.so") ? 1 : -1;

	(void) size;
	(void) arg;
	for (int i = 0; which >= 0 && i < info->dlpi_phnum; i++)
	{
		if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
			continue;
		ranges[which][0] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		ranges[which][1] = ranges[which][0] + info->dlpi_phdr[i].p_memsz;
	}
	return 0;
}

/* Is this allocation to fail? */
static int
fails(void *caller)
{
	uintptr_t	at = (uintptr_t) caller;
	int64_t		n;

	if (orders == NULL || orders[0] == 0 || orders[0] != getpid())
		return 0;
	if (ranges[0][0] == 0 || ranges[1][0] == 0)
		dl_iterate_phdr(look_at, NULL);
	if (!(at >= ranges[0][0] && at < ranges[0][1]) &&
		!(at >= ranges[1][0] && at < ranges[1][1]))
		return 0;
	n = ++orders[3];
	if (orders[1] == 0 || n < orders[1] || n >= orders[1] + orders[2])
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

char *
strdup(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}
