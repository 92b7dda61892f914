/*
 * Pid 1 of a PID namespace that the containers of a pod share. Three processes
 * in a row: the command enters the given namespaces and the cgroup and forks;
 * its child, already pid 1, moves into an empty root of its own and executes
 * this program again, so that neither the host's files nor its command line
 * can be seen through /proc/1; that gives its rights up and reaps.
 */
#define _GNU_SOURCE
#include "commands.h"

#include "memory.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Where the child says that it is ready: one byte; anything longer is what failed. */
enum { READY_FD = 3, INIT_USER = 65535 };

static int enter(const char *path, int type)
{
  if (path == NULL)
    return 0;
  cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 || setns(fd, type) < 0 ? -errno : 0;
}

static int join_cgroup(const char *path)
{
  if (path == NULL)
    return 0;
  cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return dir < 0 ? -errno : write_text(dir, "cgroup.procs", "0");
}

/* An empty tmpfs as root, with this program, read-only, in it. */
static const char *enter_empty_root(void)
{
  /* Cloned before the mount namespace is left: afterwards the program's mount is a stranger's. */
  cleanup_close int program =
    (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (program < 0)
    return "open_tree";
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return "make a mount namespace";
  if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,nr_inodes=8,mode=0555") < 0 ||
      chdir("/proc") < 0)
    return "mount an empty root";
  cleanup_close int file = open("init", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
  if (file < 0 || syscall(SYS_move_mount, program, "", AT_FDCWD, "init", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return "move_mount";
  if (mount(NULL, "init", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
    return "make the program read-only";
  if (syscall(SYS_pivot_root, ".", ".") == 0)
    return umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? "leave the host's root" : NULL;
  /* An initramfs cannot be pivoted away from (pivot_root(2)). */
  if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
    return "pivot_root";
  return NULL;
}

static _Noreturn void give_up(int ready, const char *action)
{
  char message[256];
  struct text text = TEXT(message);
  text_add(&text, action);
  text_add(&text, ": ");
  text_add(&text, strerror(errno));
  write_all(ready, message, text.len);
  _exit(1);
}

static _Noreturn void become_init(int ready)
{
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  const char *failed = enter_empty_root();
  if (failed != NULL)
    give_up(ready, failed);
  if (ready != READY_FD && dup3(ready, READY_FD, 0) < 0)
    give_up(ready, "dup3");
  if (ready == READY_FD)
    fcntl(ready, F_SETFD, 0);
  char *const argv[] = {INIT_NAME, NULL}, *const none[] = {NULL};
  execve("/init", argv, none);
  give_up(ready, "execute init");
}

/* The child's own word, or what it failed at in *message; 0 = it is ready. */
static int await_ready(int from, char *message, size_t size)
{
  size_t len = 0;
  for (ssize_t n; len < size - 1 && (n = read(from, message + len, size - 1 - len)) > 0;)
    len += (size_t)n;
  message[len] = '\0';
  return len == 1 ? 0 : -EIO;
}

static int start_init(const struct pod_init *options, pid_t *pid, const char **action)
{
  const struct { const char *action, *path; int type; } namespaces[] = {
    {"enter the network namespace", options->net, CLONE_NEWNET},
    {"enter the IPC namespace", options->ipc, CLONE_NEWIPC},
    {"enter the UTS namespace", options->uts, CLONE_NEWUTS},
  };
  static char message[256];
  int failed;
  for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
    *action = namespaces[i].action;
    if ((failed = enter(namespaces[i].path, namespaces[i].type)) < 0)
      return failed;
  }
  *action = "join the cgroup";
  if ((failed = join_cgroup(options->cgroup)) < 0)
    return failed;
  *action = "make a PID namespace";
  int ends[2];
  if (unshare(CLONE_NEWPID) < 0 || pipe2(ends, O_CLOEXEC) < 0)
    return -errno;
  cleanup_close int from = ends[0];
  *pid = fork();
  if (*pid < 0)
    return -errno;
  if (*pid == 0) {
    close(REPORT_FD);
    become_init(ends[1]);
  }
  close(ends[1]);
  *action = message;
  return await_ready(from, message, sizeof(message));
}

static int write_pid(const char *path, pid_t pid)
{
  if (path == NULL)
    return 0;
  char number[24];
  struct text text = TEXT(number);
  text_number(&text, pid);
  cleanup_close int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  return file < 0 ? -errno : write_all(file, number, text.len);
}

int init_command(const struct pod_init *options)
{
  pid_t pid = -1;
  const char *action = "";
  fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
  signal(SIGPIPE, SIG_IGN);
  int failed = start_init(options, &pid, &action);
  if (failed == 0 && write_pid(options->pid_file, pid) == 0 && report_pid(pid) == 0)
    return 0;
  /* It failed, or nobody is left who would remember the init. */
  if (pid > 0) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
  char message[512];
  struct text text = TEXT(message);
  text_add(&text, "start the pod's init: ");
  text_add(&text, action);
  if (pid < 0) {
    text_add(&text, ": ");
    text_add(&text, strerror(-failed));
  }
  report_error(message, -1);
  return 1;
}

static const char *drop_rights(void)
{
  for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap) == 0; cap++)
    continue;
  if (setgroups(0, NULL) < 0 || setresgid(INIT_USER, INIT_USER, INIT_USER) < 0 ||
      setresuid(INIT_USER, INIT_USER, INIT_USER) < 0)
    return "change the user";
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {{0}};
  if (syscall(SYS_capset, &head, none) < 0)
    return "drop capabilities";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
    return "set no_new_privs";
  return NULL;
}

int init_main(void)
{
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGCHLD);
  sigaddset(&taken, SIGTERM);
  sigprocmask(SIG_SETMASK, &taken, NULL);
  prctl(PR_SET_NAME, INIT_NAME);
  if (umount2("/init", MNT_DETACH) < 0 || unlink("/init") < 0 ||
      mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    give_up(READY_FD, "empty the root");
  const char *failed = drop_rights();
  if (failed != NULL)
    give_up(READY_FD, failed);
  if (write_all(READY_FD, "k", 1) < 0)
    return 1;
  syscall(SYS_close_range, 0, ~0U, 0);
  forget_clean_pages();
  for (siginfo_t info;;) {
    int signal = sigwaitinfo(&taken, &info);
    /* Only from outside the namespace (sender's pid unknown here): a container may not end the pod. */
    if (signal == SIGTERM && info.si_pid == 0)
      return 0;
    while (signal == SIGCHLD && waitpid(-1, NULL, WNOHANG) > 0)
      continue;
  }
}
