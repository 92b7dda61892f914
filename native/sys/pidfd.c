#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* glibc names it from 2.36 on. */
#define WAIT_PIDFD ((idtype_t)3)

int sys_pidfd_open(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

int sys_pidfd_send_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int sys_reap(int pidfd, struct exit_status *status)
{
	*status = (struct exit_status){ -1, -1 };
	siginfo_t info = { 0 };
	int done;
	do
		done = waitid(WAIT_PIDFD, pidfd, &info, WEXITED | WNOHANG);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return errno == ECHILD ? 0 : -errno;
	if (info.si_pid == 0)
		return -EAGAIN;
	if (info.si_code == CLD_EXITED)
		status->code = info.si_status;
	else
		status->signal = info.si_status;
	return 0;
}
