#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_STACK (64 * 1024)
#define DEFAULT_NOFILE 1024
#define KERNEL_SIGSET_SIZE 8

/* What the child gets: it shares our memory until exec, so it may read this and write `error` and `subject`. */
struct child {
	const struct spawn *spawn;
	const char *file;
	int source[SPAWN_STDIO_MAX];
	int netns;
	struct rlimit nofile;
	const char *subject;
	int error;
};

static rlim_t nofile_soft = DEFAULT_NOFILE;

void sys_spawn_init(void)
{
	const char *given = getenv("SKIFF_NOFILE_SOFT");
	if (given == NULL)
		return;
	char *end;
	unsigned long long value = strtoull(given, &end, 10);
	if (*given != '\0' && *end == '\0' && value > 0)
		nofile_soft = value;
}

static int set_mask(int how, const uint64_t *mask, uint64_t *old)
{
	/* Not sigprocmask(3): glibc leaves its own two signals out of every mask. */
	return syscall(SYS_rt_sigprocmask, how, mask, old, KERNEL_SIGSET_SIZE);
}

static void default_signals(void)
{
	/* As the kernel's struct sigaction: handler SIG_DFL, no flags, no mask. A handler may not run in shared memory. */
	const unsigned long initial[4] = { 0 };
	for (int signal = 1; signal <= 64; signal++)
		syscall(SYS_rt_sigaction, signal, initial, NULL, KERNEL_SIGSET_SIZE);
	const uint64_t none = 0;
	set_mask(SIG_SETMASK, &none, NULL);
}

/* Puts each source at its number; those that lie in the way move up first. */
static int place_stdio(struct child *child)
{
	int count = child->spawn->stdio_count;
	for (int i = 0; i < count; i++) {
		if (child->source[i] >= count || child->source[i] == i)
			continue;
		child->source[i] = fcntl(child->source[i], F_DUPFD_CLOEXEC, count);
		if (child->source[i] < 0)
			return -1;
	}
	for (int i = 0; i < count; i++) {
		if (child->source[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(child->source[i], i) < 0)
			return -1;
	}
	return 0;
}

static int prepare(struct child *child)
{
	const struct spawn *spawn = child->spawn;
	if (spawn->setsid && setsid() < 0)
		return -1;
	if (spawn->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	if (child->netns >= 0) {
		child->subject = spawn->netns;
		if (setns(child->netns, CLONE_NEWNET) < 0)
			return -1;
		child->subject = spawn->file;
	}
	if (place_stdio(child) < 0)
		return -1;
	/* ENOTTY where stdin is no terminal. */
	if (spawn->setsid)
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	/* Linux 5.9; before it the descriptors of Node and of this file are close-on-exec anyway. */
	syscall(SYS_close_range, (unsigned int)spawn->stdio_count, ~0U, 0);
	if (setrlimit(RLIMIT_NOFILE, &child->nofile) < 0)
		return -1;
	if (spawn->cwd != NULL) {
		child->subject = spawn->cwd;
		if (chdir(spawn->cwd) < 0)
			return -1;
		child->subject = spawn->file;
	}
	return 0;
}

static int child_main(void *argument)
{
	struct child *child = argument;
	if (prepare(child) == 0) {
		default_signals();
		execve(child->file, child->spawn->argv, child->spawn->envp);
	}
	child->error = errno;
	_exit(127);
}

/* The program that `file` names, in our own PATH where it holds no slash. */
static int find_program(const char *file, char *found, size_t size)
{
	if (strchr(file, '/') != NULL || *file == '\0')
		return snprintf(found, size, "%s", file) < (int)size ? 0 : -ENAMETOOLONG;
	const char *path = getenv("PATH");
	if (path == NULL)
		path = "/usr/sbin:/usr/bin:/sbin:/bin";
	for (const char *from = path; from != NULL;) {
		const char *colon = strchr(from, ':');
		int length = colon != NULL ? (int)(colon - from) : (int)strlen(from);
		if (length > 0 && snprintf(found, size, "%.*s/%s", length, from, file) < (int)size &&
		    faccessat(AT_FDCWD, found, X_OK, AT_EACCESS) == 0)
			return 0;
		from = colon != NULL ? colon + 1 : NULL;
	}
	return -ENOENT;
}

static int make_pipe(struct child *child, struct spawned *spawned, size_t number)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int ours = number == 0 ? ends[1] : ends[0];
	child->source[number] = number == 0 ? ends[0] : ends[1];
	spawned->fds[number] = ours;
	return fcntl(ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_stdio(struct child *child, struct spawned *spawned, int null)
{
	const struct spawn *spawn = child->spawn;
	for (size_t i = 0; i < spawn->stdio_count; i++) {
		child->source[i] = spawn->stdio[i] == SPAWN_NULL ? null : spawn->stdio[i];
		if (spawn->stdio[i] == SPAWN_PIPE) {
			int status = make_pipe(child, spawned, i);
			if (status < 0)
				return status;
		}
	}
	return 0;
}

static void close_pipes(const struct spawn *spawn, const int *fds)
{
	for (size_t i = 0; i < spawn->stdio_count; i++) {
		if (spawn->stdio[i] == SPAWN_PIPE && fds[i] >= 0)
			close(fds[i]);
	}
}

/* The child shares the memory and we sleep until it has called exec or _exit: no page table is copied. */
static int clone_child(struct child *child, struct spawned *spawned)
{
	char *stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	const uint64_t all = ~UINT64_C(0);
	uint64_t old;
	set_mask(SIG_SETMASK, &all, &old);
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	pid_t pid = clone(child_main, stack + CHILD_STACK, flags, child, &spawned->pidfd);
	int status = pid < 0 ? -errno : 0;
	set_mask(SIG_SETMASK, &old, NULL);
	munmap(stack, CHILD_STACK);
	if (status < 0)
		return status;
	spawned->pid = pid;
	if (child->error == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(spawned->pidfd);
	return -child->error;
}

int sys_spawn(const struct spawn *spawn, struct spawned *spawned, const char **subject)
{
	char file[4096];
	struct child child = { .spawn = spawn, .file = file, .netns = -1, .subject = spawn->file };
	*subject = spawn->file;
	*spawned = (struct spawned){ .pid = -1, .pidfd = -1, .count = spawn->stdio_count };
	for (int i = 0; i < SPAWN_STDIO_MAX; i++)
		spawned->fds[i] = child.source[i] = -1;
	if (spawn->stdio_count > SPAWN_STDIO_MAX)
		return -EINVAL;
	int status = find_program(spawn->file, file, sizeof file);
	if (status < 0)
		return status;
	if (getrlimit(RLIMIT_NOFILE, &child.nofile) < 0)
		return -errno;
	child.nofile.rlim_cur = nofile_soft < child.nofile.rlim_max ? nofile_soft : child.nofile.rlim_max;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	cleanup_close int netns = -1;
	if (spawn->netns != NULL) {
		*subject = spawn->netns;
		netns = open(spawn->netns, O_RDONLY | O_CLOEXEC);
		if (netns < 0)
			return -errno;
		child.netns = netns;
	}
	status = open_stdio(&child, spawned, null);
	/* Copied, because the child moves its sources about in memory that it shares. */
	int theirs[SPAWN_STDIO_MAX];
	memcpy(theirs, child.source, sizeof theirs);
	if (status == 0)
		status = clone_child(&child, spawned);
	*subject = child.subject;
	close_pipes(spawn, theirs);
	if (status < 0)
		close_pipes(spawn, spawned->fds);
	return status;
}
