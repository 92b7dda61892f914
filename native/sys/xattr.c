#include "sys.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

/* setxattrat(2) is only in Linux 6.13: until then the descriptor's own link in /proc leads to the file. */
static char *through_proc(int dirfd, const char *path)
{
	char *whole;
	if (asprintf(&whole, "/proc/self/fd/%d%s%s", dirfd, path[0] == '\0' ? "" : "/", path) < 0)
		return NULL;
	return whole;
}

int sys_setxattrat(int dirfd, const char *path, const char *name, const void *value, size_t length)
{
	cleanup_free char *file = through_proc(dirfd, path);
	if (file == NULL)
		return -ENOMEM;
	/* The link of a descriptor must be followed, the file below it must not. */
	int done = path[0] == '\0' ? setxattr(file, name, value, length, 0) : lsetxattr(file, name, value, length, 0);
	return done < 0 ? -errno : 0;
}

static ssize_t read_one(const char *file, const char *name, bool follow, char *buffer, size_t size)
{
	if (name == NULL)
		return follow ? listxattr(file, buffer, size) : llistxattr(file, buffer, size);
	return follow ? getxattr(file, name, buffer, size) : lgetxattr(file, name, buffer, size);
}

/* One attribute, or with a NULL name the list of them; asks again where it grew between the two calls. */
static int read_growing(int dirfd, const char *path, const char *name, char **data, size_t *length)
{
	cleanup_free char *file = through_proc(dirfd, path);
	if (file == NULL)
		return -ENOMEM;
	for (;;) {
		ssize_t size = read_one(file, name, path[0] == '\0', NULL, 0);
		if (size < 0)
			return -errno;
		cleanup_free char *buffer = malloc(size + 1);
		if (buffer == NULL)
			return -ENOMEM;
		ssize_t got = size == 0 ? 0 : read_one(file, name, path[0] == '\0', buffer, size);
		if (got < 0 && errno == ERANGE)
			continue;
		if (got < 0)
			return -errno;
		*data = buffer;
		*length = got;
		buffer = NULL;
		return 0;
	}
}

int sys_getxattrat(int dirfd, const char *path, const char *name, char **value, size_t *length)
{
	return read_growing(dirfd, path, name, value, length);
}

int sys_listxattrat(int dirfd, const char *path, char **names, size_t *length)
{
	return read_growing(dirfd, path, NULL, names, length);
}
