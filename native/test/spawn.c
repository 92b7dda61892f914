#include "../sys/sys.h"
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char *const ENVIRONMENT[] = { "PATH=/usr/bin:/bin", NULL };

static int start_shell(const char *script, const int *stdio, size_t count, struct spawned *spawned)
{
	const char *subject;
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	const struct spawn spawn = { .file = "/bin/sh", .argv = argv, .envp = ENVIRONMENT, .stdio = stdio, .stdio_count = count };
	return sys_spawn(&spawn, spawned, &subject);
}

static struct exit_status wait_for(struct spawned *spawned)
{
	struct exit_status status;
	struct pollfd poll_fd = { .fd = spawned->pidfd, .events = POLLIN };
	poll(&poll_fd, 1, 10000);
	CHECK_EQUAL(sys_reap(spawned->pidfd, &status), 0);
	close(spawned->pidfd);
	return status;
}

/* What a shell script prints. */
static const char *output_of(const char *script)
{
	static char text[65536];
	struct spawned spawned;
	size_t length = 0;
	const int stdio[] = { SPAWN_NULL, SPAWN_PIPE, 2 };
	CHECK_EQUAL(start_shell(script, stdio, 3, &spawned), 0);
	struct pollfd poll_fd = { .fd = spawned.fds[1], .events = POLLIN };
	while (poll(&poll_fd, 1, 10000) > 0) {
		ssize_t got = read(spawned.fds[1], text + length, sizeof text - 1 - length);
		if (got <= 0)
			break;
		length += got;
	}
	text[length] = '\0';
	close(spawned.fds[1]);
	wait_for(&spawned);
	return text;
}

static void tells_codes_and_signals(void)
{
	struct spawned spawned;
	const int stdio[] = { SPAWN_NULL, SPAWN_NULL, SPAWN_NULL };
	CHECK_EQUAL(start_shell("exit 7", stdio, 3, &spawned), 0);
	struct exit_status status = wait_for(&spawned);
	CHECK_EQUAL(status.code, 7);
	CHECK_EQUAL(status.signal, -1);
	CHECK_EQUAL(start_shell("kill -9 $$", stdio, 3, &spawned), 0);
	status = wait_for(&spawned);
	CHECK_EQUAL(status.code, -1);
	CHECK_EQUAL(status.signal, SIGKILL);
	CHECK_EQUAL(start_shell("sleep 100", stdio, 3, &spawned), 0);
	CHECK_EQUAL(sys_reap(spawned.pidfd, &status), -EAGAIN);
	CHECK_EQUAL(sys_pidfd_send_signal(spawned.pidfd, SIGTERM), 0);
	CHECK_EQUAL(wait_for(&spawned).signal, SIGTERM);
	/* Not ours to reap. */
	int other = sys_pidfd_open(getppid());
	CHECK_EQUAL(sys_reap(other, &status), 0);
	CHECK(status.code == -1 && status.signal == -1);
	close(other);
}

static void names_what_failed_and_leaves_nothing(void)
{
	struct spawned spawned;
	const char *subject;
	char *const argv[] = { "x", NULL };
	const int stdio[] = { SPAWN_PIPE, SPAWN_PIPE, SPAWN_PIPE };
	struct spawn spawn = { .file = "/nowhere", .argv = argv, .envp = ENVIRONMENT, .stdio = stdio, .stdio_count = 3 };
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), -ENOENT);
	CHECK_TEXT(subject, "/nowhere");
	spawn.file = "/etc/passwd";
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), -EACCES);
	spawn.file = "/bin/true";
	spawn.cwd = "/no-directory";
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), -ENOENT);
	CHECK_TEXT(subject, "/no-directory");
	spawn.cwd = NULL;
	spawn.netns = "/no-namespace";
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), -ENOENT);
	CHECK_TEXT(subject, "/no-namespace");
	spawn.netns = "/etc/passwd";
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), -EINVAL);
	CHECK_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQUAL(errno, ECHILD);
}

static void gives_back_default_signals_and_limits(void)
{
	struct rlimit limit;
	sigset_t mask;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGRTMAX, SIG_IGN);
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	getrlimit(RLIMIT_NOFILE, &limit);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK_TEXT(output_of("exec cat /proc/self/status | exec sed -n 's/^\\(Sig[BIC][a-z]*\\):\\t/\\1 /p'"),
		   "SigBlk 0000000000000000\nSigIgn 0000000000000000\nSigCgt 0000000000000000\n");
	CHECK_TEXT(output_of("ulimit -Sn"), "1024\n");
	setenv("SKIFF_NOFILE_SOFT", "777", 1);
	sys_spawn_init();
	CHECK_TEXT(output_of("ulimit -Sn"), "777\n");
	/* Ours are untouched. */
	sigset_t now;
	sigprocmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGTERM) == 1);
	struct rlimit after;
	getrlimit(RLIMIT_NOFILE, &after);
	CHECK_EQUAL(after.rlim_cur, limit.rlim_max);
	limit.rlim_cur = before;
	setrlimit(RLIMIT_NOFILE, &limit);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void passes_only_the_descriptors_given(void)
{
	int leak = open("/dev/null", O_RDONLY);
	CHECK_EQUAL(dup2(leak, 200), 200);
	/* ls has one of its own, on the directory. */
	CHECK_TEXT(output_of("ls /proc/self/fd"), "0\n1\n2\n3\n");
	close(leak);
	close(200);
}

static void swaps_descriptors(void)
{
	/* The sources lie where other targets are: each must reach its own number. */
	struct spawned spawned;
	int zero = dup(0), one = dup(1), two = dup(2);
	write_file("a", "from a");
	int in = open("a", O_RDONLY | O_CLOEXEC), out = open("out", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	dup2(out, 0);
	dup2(in, 1);
	const int stdio[] = { 1, 0, SPAWN_NULL, 0 };
	CHECK_EQUAL(start_shell("cat; echo three >&3", stdio, 4, &spawned), 0);
	dup2(zero, 0);
	dup2(one, 1);
	dup2(two, 2);
	CHECK_EQUAL(wait_for(&spawned).code, 0);
	CHECK_TEXT(read_text_file("out"), "from athree\n");
	int fds[] = { zero, one, two, in, out };
	for (size_t i = 0; i < 5; i++)
		close(fds[i]);
}

static void starts_where_it_is_told(void)
{
	struct spawned spawned;
	const char *subject;
	char *const argv[] = { "sh", "-c", "pwd; cut -d' ' -f6 /proc/self/stat; echo $$", NULL };
	const int stdio[] = { SPAWN_NULL, SPAWN_PIPE, SPAWN_NULL };
	/* Without a slash: found in PATH. */
	const struct spawn spawn = { .file = "sh", .argv = argv, .envp = ENVIRONMENT, .cwd = "/usr", .stdio = stdio,
				     .stdio_count = 3, .setsid = true };
	char text[128] = "", wanted[128];
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), 0);
	CHECK(fcntl(spawned.fds[1], F_GETFL) & O_NONBLOCK);
	CHECK_EQUAL(fcntl(spawned.fds[1], F_GETFD), FD_CLOEXEC);
	CHECK_EQUAL(fcntl(spawned.pidfd, F_GETFD), FD_CLOEXEC);
	int pid = spawned.pid;
	wait_for(&spawned);
	CHECK(read(spawned.fds[1], text, sizeof text - 1) > 0);
	snprintf(wanted, sizeof wanted, "/usr\n%d\n%d\n", pid, pid);
	CHECK_TEXT(text, wanted);
	close(spawned.fds[1]);
}

RUN_TESTS({ "exit codes, signals and processes of others", tells_codes_and_signals },
	  { "a failed start names what failed and leaves nothing", names_what_failed_and_leaves_nothing },
	  { "default signals, empty mask, start-up limit", gives_back_default_signals_and_limits },
	  { "no descriptor but those given", passes_only_the_descriptors_given },
	  { "descriptors that lie in each other's way", swaps_descriptors },
	  { "PATH, working directory and session", starts_where_it_is_told })
