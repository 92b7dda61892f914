#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define OPENAT2_TRIES 128

static int result(int value)
{
	return value < 0 ? -errno : value;
}

int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	/* EAGAIN: a rename elsewhere raced with a ".." of the path (openat2(2)). */
	for (int i = 0;; i++) {
		int fd = result(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
		if ((fd != -EAGAIN && fd != -EINTR) || i == OPENAT2_TRIES)
			return fd;
	}
}

int sys_mkdirat(int dirfd, const char *path, mode_t mode)
{
	return result(mkdirat(dirfd, path, mode));
}

int sys_mknodat(int dirfd, const char *path, mode_t mode, unsigned int major, unsigned int minor)
{
	return result(mknodat(dirfd, path, mode, makedev(major, minor)));
}

int sys_symlinkat(const char *target, int dirfd, const char *path)
{
	return result(symlinkat(target, dirfd, path));
}

int sys_linkat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, int flags)
{
	return result(linkat(olddirfd, oldpath, newdirfd, newpath, flags));
}

int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return result(unlinkat(dirfd, path, flags));
}

int sys_renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags)
{
	return result(renameat2(olddirfd, oldpath, newdirfd, newpath, flags));
}

int sys_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
	return result(fchownat(dirfd, path, uid, gid, flags));
}

int sys_fchmodat(int dirfd, const char *path, mode_t mode)
{
	/* Through the descriptor, because fchmodat2(2) with AT_SYMLINK_NOFOLLOW is only in Linux 6.6. */
	cleanup_close int own = -1;
	int fd = dirfd;
	if (path[0] != '\0') {
		fd = own = openat(dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	struct stat stat;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (S_ISLNK(stat.st_mode))
		return -EOPNOTSUPP;
	char link[32];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return result(chmod(link, mode));
}

int sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
	/* The system call itself: glibc's wrapper refuses nothing, but knows no AT_EMPTY_PATH before 2.34. */
	return result(syscall(SYS_utimensat, dirfd, path, times, flags));
}

int sys_fstatat(int dirfd, const char *path, int flags, struct stat *stat)
{
	return result(fstatat(dirfd, path, stat, flags));
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, data, length);
		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			data += written;
			length -= written;
		}
	}
	return 0;
}

int sys_put_file(int dirfd, const char *name, const struct put_file *file)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		.mode = 0600,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	cleanup_close int fd = result(syscall(SYS_openat2, dirfd, name, &how, sizeof how));
	if (fd < 0)
		return fd;
	int status = write_all(fd, file->data, file->length);
	if (status < 0)
		return status;
	/* In this order: a change of owner drops setuid bits. */
	if ((file->uid != 0 || file->gid != 0) && fchown(fd, file->uid, file->gid) < 0)
		return -errno;
	if (fchmod(fd, file->mode) < 0 || futimens(fd, file->times) < 0)
		return -errno;
	return 0;
}

int sys_close(int fd)
{
	return result(close(fd));
}

int sys_set_cloexec(int fd)
{
	return result(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

int sys_flock(const char *path)
{
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	int locked = fd;
	fd = -1;
	return locked;
}

int sys_syncfs(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return result(syncfs(fd));
}
