/*
 * What the runtime needs from Linux and Node lacks: plain C over system calls.
 *
 * Every function answers 0 or a positive result, or -errno. Descriptors that
 * it makes are close-on-exec. Where a call can fail for more than one of its
 * arguments, `subject` is pointed at the one that it failed for.
 */
#ifndef SKIFF_SYS_H
#define SKIFF_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))
#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))

/* fsat.c: files relative to a directory descriptor; "" with AT_EMPTY_PATH is the descriptor itself. */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int sys_mkdirat(int dirfd, const char *path, mode_t mode);
int sys_mknodat(int dirfd, const char *path, mode_t mode, unsigned int major, unsigned int minor);
int sys_symlinkat(const char *target, int dirfd, const char *path);
int sys_linkat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, int flags);
int sys_unlinkat(int dirfd, const char *path, int flags);
int sys_renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags);
int sys_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags);
/* Never follows a symbolic link: -EOPNOTSUPP for one. "" is the descriptor itself. */
int sys_fchmodat(int dirfd, const char *path, mode_t mode);
int sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags);
int sys_fstatat(int dirfd, const char *path, int flags, struct stat *stat);
struct put_file {
	const void *data;
	size_t length;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec times[2]; /* atime, mtime */
};
/* Makes a regular file whole, in a directory that has none of its name (-EEXIST). After a failure a part may be there. */
int sys_put_file(int dirfd, const char *name, const struct put_file *file);
int sys_close(int fd);
int sys_set_cloexec(int fd);
/* Opens (creates) `path` and takes its lock without waiting: -EWOULDBLOCK where another holds it. */
int sys_flock(const char *path);
int sys_syncfs(const char *path);

/* memory.c: has the C library give freed memory back. For a process that lives long and has little in use. */
void sys_memory_init(void);

/* xattr.c: `path` is one name below `dirfd`, not followed; "" is the descriptor itself (also an O_PATH one). */
int sys_setxattrat(int dirfd, const char *path, const char *name, const void *value, size_t length);
/* `*value` is the caller's to free. */
int sys_getxattrat(int dirfd, const char *path, const char *name, char **value, size_t *length);
/* Names, each ended by NUL, one after the other; `*names` is the caller's to free. */
int sys_listxattrat(int dirfd, const char *path, char **names, size_t *length);

/* pidfd.c */
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signal);
struct exit_status {
	int code;   /* -1: ended by a signal, or not a child of this process */
	int signal; /* -1: not ended by a signal */
};
/* Reaps without waiting: -EAGAIN while it runs. A process that is not ours to reap gives {-1, -1}. */
int sys_reap(int pidfd, struct exit_status *status);

/* killtree.c: SIGKILL for `pid`, its descendants and the session that it leads, until none is left. Answers how many. */
int sys_kill_tree(pid_t pid);

/* spawn.c */
enum { SPAWN_NULL = -1, SPAWN_PIPE = -2, SPAWN_STDIO_MAX = 16 };

struct spawn {
	const char *file; /* searched in PATH where it holds no slash */
	char *const *argv;
	char *const *envp;
	const char *cwd;  /* NULL: as the parent */
	const int *stdio; /* by number in the child: a descriptor, SPAWN_NULL or SPAWN_PIPE */
	size_t stdio_count;
	bool setsid; /* stdin becomes the session's terminal if it is one */
	const char *netns; /* NULL: as the parent */
	bool die_with_parent; /* SIGKILL when the spawning thread ends (PR_SET_PDEATHSIG) */
};

struct spawned {
	pid_t pid;
	int pidfd;
	size_t count;
	int fds[SPAWN_STDIO_MAX]; /* our ends of the pipes, nonblocking; -1 elsewhere */
};

/* Notes the limit that children get; once, before the first spawn. */
void sys_spawn_init(void);
int sys_spawn(const struct spawn *spawn, struct spawned *spawned, const char **subject);

/* thread.c: runs `work` on a thread of its own and waits for it: what it does to its namespaces ends with it. */
int sys_in_thread(int (*work)(void *), void *argument);

/* mount.c */
int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int sys_umount(const char *target, int flags);

/* overlay.c */
struct overlay {
	char *const *lowers; /* the top one first, absolute, NULL ends it */
	const char *upper;   /* NULL: read-only */
	const char *work;
	const char *target;
	char *const *options; /* overlay's own, "metacopy=off"; NULL ends it */
	bool legacy;          /* mount(2) also where the kernel has lowerdir+ */
};
int sys_overlay_mount(const struct overlay *overlay, const char **subject);

/* namespaces.c */
struct pin {
	const char *net, *ipc, *uts; /* files to pin on; NULL: that namespace is left as it is */
	const char *hostname;        /* "": not set; only with uts */
	char *const *sysctls;        /* key, value, key, value, NULL; only those of a namespace made here */
};
int sys_pin_namespaces(const struct pin *pin, const char **subject);

struct netns_interface {
	char name[16];
	uint64_t rx_bytes, rx_errors, tx_bytes, tx_errors;
	bool up;
};
/* `*interfaces` is the caller's to free. Answers how many. */
int sys_netns_interfaces(const char *path, struct netns_interface **interfaces);

/* dial.c: a TCP socket of the namespace at `netns`, nonblocking, that is connected to `address` or still connecting. */
int sys_dial_tcp(const char *netns, const char *address, uint16_t port);

/* tree.c: neither crosses a mount point or follows a symbolic link. */
/* -EBUSY where a mount point is left below `path`; all else is gone then. Nothing there is fine. */
int sys_remove_tree(const char *path);
struct disk_usage {
	uint64_t bytes, inodes;
};
int sys_disk_usage(const char *path, struct disk_usage *usage);

#endif
