#define _GNU_SOURCE
#include "shim.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define CONSOLE_SOCKET "console.sock"
#define PID_FILE "init.pid"
#define RUNTIME_LOG "runtime.log"

enum { ARGUMENTS_MAX = 64, DELETE_TIMEOUT_MS = 10000, ADOPT_TIMEOUT_MS = 1000 };

/* What is open only while the runtime works. */
struct start {
  struct child_stdio stdio;
  int console;
  pid_t runtime;
};

static void close_start(struct start *start)
{
  close_at(&start->stdio.in);
  close_at(&start->stdio.out);
  close_at(&start->stdio.err);
  close_at(&start->console);
}

static int fail(struct failure *failure, const char *action, int result)
{
  struct text message = TEXT(failure->message);
  text_add(&message, action);
  text_add(&message, ": ");
  text_add(&message, strerror(-result));
  return result;
}

struct arguments {
  char *list[ARGUMENTS_MAX];
  int count;
};

static void push(struct arguments *arguments, const char *argument)
{
  if (arguments->count < ARGUMENTS_MAX - 1)
    arguments->list[arguments->count++] = (char *)argument;
}

static struct arguments runtime_arguments(const struct shim *shim)
{
  struct arguments arguments = {0};
  for (char **argument = shim->options.runtime; *argument != NULL; argument++)
    push(&arguments, *argument);
  return arguments;
}

/* The child's side of spawn(): the container's stdio, no signal blocked or ignored, no file descriptor but these. */
static _Noreturn void become(char *const argv[], struct child_stdio stdio, volatile int *failed)
{
  const int fds[] = {stdio.in, stdio.out, stdio.err};
  sigset_t none;
  sigemptyset(&none);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int i = 0; i < 3; i++)
    if (fds[i] >= 0 && dup2(fds[i], i) < 0)
      _exit(127);
  execvp(argv[0], argv);
  *failed = errno;
  _exit(127);
}

/*
 * Starts a program on these three fds; -1 = the shim's own, which is /dev/null.
 * Not posix_spawn, which leaves the signals that glibc keeps for itself ignored.
 */
static int spawn(char *const argv[], struct child_stdio stdio, pid_t *pid)
{
  volatile int failed = 0;
  *pid = vfork();
  if (*pid == 0)
    become(argv, stdio, &failed);
  if (*pid < 0)
    return -errno;
  if (failed != 0)
    waitpid(*pid, NULL, 0);
  return -failed;
}

static int listen_console(struct start *start)
{
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CONSOLE_SOCKET};
  unlink(CONSOLE_SOCKET);
  start->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (start->console < 0 || bind(start->console, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
      listen(start->console, 1) < 0)
    return -errno;
  return 0;
}

/* Receives the terminal's master from the runtime, if it has connected. */
static int accept_console(struct shim *shim, struct start *start)
{
  cleanup_close int from = accept4(start->console, NULL, NULL, SOCK_CLOEXEC);
  if (from < 0)
    return errno == EAGAIN ? 0 : -errno;
  char name[256];
  union {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {name, sizeof(name)};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
  struct timeval patience = {.tv_sec = 10};
  setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) < 0)
    return -errno;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  /* A runtime that fails after it has connected sends nothing; its exit code will tell. */
  if (head == NULL)
    return 0;
  if (head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
    return -EPROTO;
  cleanup_close int master = -1;
  memcpy(&master, CMSG_DATA(head), sizeof(int));
  int failed = stdio_console(shim, master);
  if (failed < 0)
    return failed;
  take_fd(&master);
  close_at(&start->console);
  return 0;
}

/*
 * Waits for one child and for nothing else, so that the container's init, should
 * it end first, stays to be reaped by the loop. -ECANCELED on SIGUSR1.
 */
static int wait_child(struct shim *shim, struct start *start, pid_t pid, int timeout_ms, siginfo_t *info)
{
  int64_t deadline = now_ms() + timeout_ms;
  for (;;) {
    info->si_pid = 0;
    if (waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG) < 0)
      return -errno;
    if (info->si_pid != 0)
      return 0;
    struct pollfd ready[] = {{shim->signals.fd, POLLIN, 0}, {start == NULL ? -1 : start->console, POLLIN, 0}};
    int left = timeout_ms < 0 ? -1 : (int)(deadline - now_ms());
    if (timeout_ms >= 0 && left <= 0)
      return -ETIMEDOUT;
    if (poll(ready, 2, left) < 0)
      return -errno;
    int failed = ready[1].revents != 0 ? accept_console(shim, start) : 0;
    if (failed < 0)
      return failed;
    struct signalfd_siginfo signal;
    if (ready[0].revents != 0 && read(shim->signals.fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal) &&
        signal.ssi_signo == SIGUSR1 && start != NULL)
      return -ECANCELED;
  }
}

static int spawn_runtime(struct shim *shim, struct start *start)
{
  struct arguments arguments = runtime_arguments(shim);
  char state[PATH_MAX], log[PATH_MAX + 32], pid_file[PATH_MAX + 32], console[64];
  /* The runtime changes into the bundle, and a socket's name must be short: /proc/PID/cwd is the state directory. */
  struct text log_name = TEXT(log), pid_name = TEXT(pid_file), console_name = TEXT(console);
  if (getcwd(state, sizeof(state)) == NULL)
    return -errno;
  text_add(&log_name, state);
  text_add(&log_name, "/" RUNTIME_LOG);
  text_add(&pid_name, state);
  text_add(&pid_name, "/" PID_FILE);
  text_add(&console_name, "/proc/");
  text_number(&console_name, getpid());
  text_add(&console_name, "/cwd/" CONSOLE_SOCKET);
  const char *fixed[] = {"--log",    log,           "--log-format", "json",  "run", "--detach",
                         "--bundle", shim->options.bundle, "--pid-file",   pid_file};
  for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
    push(&arguments, fixed[i]);
  if (shim->options.tty) {
    push(&arguments, "--console-socket");
    push(&arguments, console);
  }
  push(&arguments, shim->options.id);
  return spawn(arguments.list, start->stdio, &start->runtime);
}

/* A runtime (crun) may have a process of its own between itself and init, which ends an instant later than it. */
static int await_child(pid_t pid)
{
  for (int64_t end = now_ms() + ADOPT_TIMEOUT_MS;;) {
    pid_t parent = parent_of(pid, NULL);
    if (parent == getpid())
      return 0;
    if (parent < 0 || now_ms() > end)
      return -ECHILD;
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
  }
}

/* Reads the pid that the runtime wrote and sees that it is a child of the shim. */
static int adopt_init(struct shim *shim)
{
  char text[32];
  ssize_t len = read_text(AT_FDCWD, PID_FILE, text, sizeof(text));
  if (len < 0)
    return (int)len;
  pid_t pid = (pid_t)strtol(text, NULL, 10);
  int failed = pid <= 1 ? -ECHILD : await_child(pid);
  if (failed < 0)
    return failed;
  shim->init = pid;
  return 0;
}

static void explain_exit(const siginfo_t *info, int stderr_fd, struct failure *failure)
{
  failure->exit_code = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
  if (report_from_log(RUNTIME_LOG, failure->message, sizeof(failure->message)))
    return;
  if (report_from_pipe(stderr_fd, failure->message, sizeof(failure->message)))
    return;
  struct text message = TEXT(failure->message);
  text_add(&message, "the runtime ended without a word, exit code ");
  text_number(&message, failure->exit_code);
}

static int run_runtime(struct shim *shim, struct start *start, struct failure *failure)
{
  unlink(PID_FILE);
  unlink(RUNTIME_LOG);
  int failed = shim->options.tty ? listen_console(start) : stdio_pipes(shim, &start->stdio);
  if (failed < 0)
    return fail(failure, "make the container's stdio", failed);
  cleanup_close int own_stderr = -1;
  if (shim->options.tty) {
    /* The runtime's own complaints; the container's stderr is the terminal. */
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
      return fail(failure, "make the runtime's stderr", -errno);
    own_stderr = ends[0];
    start->stdio.err = ends[1];
  }
  failed = spawn_runtime(shim, start);
  if (failed < 0)
    return fail(failure, shim->options.runtime[0], failed);
  siginfo_t info;
  failed = wait_child(shim, start, start->runtime, -1, &info);
  if (failed < 0) {
    kill(start->runtime, SIGKILL);
    return fail(failure, "start the container", failed);
  }
  if (info.si_code != CLD_EXITED || info.si_status != 0) {
    explain_exit(&info, shim->options.tty ? own_stderr : shim->outputs[1].source.fd, failure);
    return -EIO;
  }
  return 0;
}

int start_container(struct shim *shim, struct failure *failure)
{
  __attribute__((cleanup(close_start))) struct start start = {.stdio = {-1, -1, -1}, .console = -1};
  int failed = run_runtime(shim, &start, failure);
  if (failed < 0)
    return failed;
  if (start.console >= 0)
    failed = accept_console(shim, &start);
  if (failed < 0 || start.console >= 0)
    return fail(failure, "receive the terminal from the runtime", failed < 0 ? failed : -ENOTTY);
  unlink(CONSOLE_SOCKET);
  failed = adopt_init(shim);
  return failed < 0 ? fail(failure, "find the container's init", failed) : 0;
}

void abandon_container(struct shim *shim)
{
  struct arguments arguments = runtime_arguments(shim);
  push(&arguments, "delete");
  push(&arguments, "--force");
  push(&arguments, shim->options.id);
  pid_t pid;
  siginfo_t info;
  if (spawn(arguments.list, (struct child_stdio){-1, -1, -1}, &pid) == 0 &&
      wait_child(shim, NULL, pid, DELETE_TIMEOUT_MS, &info) < 0)
    kill(pid, SIGKILL);
  kill_descendants();
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0)
    info.si_pid = 0;
  unlink(CONSOLE_SOCKET);
  unlink(PID_FILE);
  unlink(RUNTIME_LOG);
}
