/*
 * skiff-exec PIDFILE RUNTIME [ARG ...]: the parent of one exec without a
 * terminal. RUNTIME with its arguments is the whole command line of a detached
 * exec that writes PIDFILE. So the process has the caller's pipes themselves,
 * no runtime stays in memory beside it, and what it leaves in the background,
 * holding a pipe, delays nobody, where the runtime in the foreground would wait
 * for it for ever. Being the subreaper, this program learns how it ended, and
 * ends with the same code, 128 + n where signal n ended it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the caller has a pipe here, it gets a byte when the process runs. */
#define STARTED_FD 3
/* When nothing ran: the caller finds no pid file then. */
#define NOT_STARTED 255

static int fail(const char *problem)
{
	const char *const parts[] = { "skiff-exec: ", problem, "\n" };
	for (int i = 0; i < 3; i++) {
		if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
			break;
	}
	return NOT_STARTED;
}

static int wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return NOT_STARTED;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t read_pid(const char *file)
{
	char text[32];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	return atoi(text);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return fail("usage: skiff-exec PIDFILE RUNTIME [ARG ...]");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail(strerror(errno));
	/* Not posix_spawn(3): that of glibc leaves signals 32 and 33 ignored, and so they would be in the container. */
	pid_t runtime = vfork();
	if (runtime == 0) {
		execvp(argv[2], argv + 2);
		_exit(NOT_STARTED);
	}
	if (runtime < 0)
		return fail(strerror(errno));
	/* It told the caller what is wrong by its log and on stderr. */
	if (wait_for(runtime) != 0)
		return NOT_STARTED;
	pid_t pid = read_pid(argv[1]);
	/* The process has the caller's streams from here on. Not every caller asks to be told. */
	if (pid > 0 && write(STARTED_FD, "", 1) < 0)
		errno = 0;
	return pid > 0 ? wait_for(pid) : fail("the runtime wrote no pid");
}
