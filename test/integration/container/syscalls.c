/* Makes single system calls and tells what the kernel answered: "name errno" a line, 0 for success. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result)
{
	printf("%s %d\n", name, result < 0 ? errno : 0);
	fflush(stdout);
}

static void *thread(void *unused)
{
	return unused;
}

/* In a child, so that what one call does to the process does not change the next. */
#define TRY(name, call)                                                        \
	do {                                                                   \
		pid_t child = fork();                                          \
		if (child == 0) {                                              \
			tell(name, (long)(call));                              \
			_exit(0);                                              \
		}                                                              \
		waitpid(child, NULL, 0);                                       \
	} while (0)

int main(void)
{
	pthread_t id;

	TRY("unshare-user", unshare(CLONE_NEWUSER));
	TRY("unshare-uts", unshare(CLONE_NEWUTS));
	TRY("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	TRY("clone3", syscall(SYS_clone3, NULL, 0));
	TRY("setns", syscall(SYS_setns, -1, 0));
	TRY("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
	TRY("open_tree", syscall(SYS_open_tree, -100, "/tmp", 1));
	TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
	TRY("add_key", syscall(SYS_add_key, "user", "k", "v", 1, -2));
	TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
	TRY("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
	TRY("userfaultfd", syscall(SYS_userfaultfd, 0));
	TRY("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	TRY("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	TRY("init_module", syscall(SYS_init_module, NULL, 0, ""));
	TRY("settimeofday", syscall(SYS_settimeofday, NULL, NULL));
	TRY("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
	TRY("socket-inet", socket(AF_INET, SOCK_STREAM, 0));
	TRY("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	TRY("socket-nfc", socket(39, SOCK_SEQPACKET, 0));
	TRY("socket-alg", socket(38, SOCK_SEQPACKET, 0));
	TRY("socket-vsock", socket(40, SOCK_STREAM, 0));
	TRY("socket-xdp", socket(44, SOCK_RAW, 0));
	TRY("personality-linux", personality(0));
	TRY("personality-query", personality(0xffffffff));
	TRY("personality-norandom", personality(0x0040000));
	TRY("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	TRY("chroot", chroot("/"));
	TRY("thread", pthread_create(&id, NULL, thread, NULL) || pthread_join(id, NULL) ? -1 : 0);
	return 0;
}
