#define _GNU_SOURCE
#include "commands.h"

#include "memory.h"
#include "report.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

int watch(struct shim *shim, struct source *source, uint32_t events)
{
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(shim->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void unwatch(struct shim *shim, struct source *source)
{
  epoll_ctl(shim->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

/* Signals come over a descriptor, so that a service stop or the death of the daemon does not end the shim. */
static int take_signals(struct shim *shim)
{
  sigset_t all, taken;
  sigfillset(&all);
  sigemptyset(&taken);
  static const int signals[] = {SIGCHLD, SIGUSR1, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
  for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
    sigaddset(&taken, signals[i]);
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_SETMASK, &all, NULL);
  shim->signals.fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
  return shim->signals.fd < 0 ? -errno : 0;
}

static void signals_ready(struct shim *shim, struct source *source, uint32_t events)
{
  (void)events;
  struct signalfd_siginfo signal;
  while (read(source->fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal))
    continue;
  end_reap(shim);
}

static void oom_ready(struct shim *shim, struct source *source, uint32_t events)
{
  (void)events;
  /* The kernel wakes pollers of memory.events at each change; the file of a removed cgroup would wake them for ever. */
  if (cgroup_oom_kills(&shim->cgroup) < 0)
    unwatch(shim, source);
  end_read_oom(shim);
}

static int loop(struct shim *shim)
{
  struct epoll_event events[16];
  for (bool lean = false;;) {
    int wait = clients_sweep(shim), end = end_step(shim);
    if (shim->done)
      return 0;
    if (end >= 0 && (wait < 0 || end < wait))
      wait = end;
    bool idle = wait < 0;
    int count = epoll_wait(shim->epoll, events, sizeof(events) / sizeof(events[0]), idle && !lean ? LEAN_MS : wait);
    if (count < 0 && errno != EINTR)
      return -errno;
    lean = idle && count == 0;
    if (lean)
      forget_clean_pages();
    for (int i = 0; i < count; i++) {
      struct source *source = events[i].data.ptr;
      if (source->fd >= 0)
        source->ready(shim, source, events[i].events);
    }
  }
  return 0;
}

/* All that must be there before the container is, so that nothing can fail once it runs. */
static int prepare(struct shim *shim, const char **action)
{
  *action = "become the subreaper";
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
    return -errno;
  *action = "take signals over";
  int failed = take_signals(shim);
  if (failed < 0)
    return failed;
  *action = "make an epoll set";
  shim->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (shim->epoll < 0)
    return -errno;
  *action = shim->options.log;
  failed = log_file_open(&shim->log);
  if (failed < 0)
    return failed;
  *action = "listen on shim.sock";
  failed = clients_listen(shim);
  if (failed < 0)
    return failed;
  shim->signals.ready = signals_ready;
  failed = watch(shim, &shim->signals, EPOLLIN);
  return failed < 0 ? failed : watch(shim, &shim->listener, EPOLLIN);
}

static int refuse(const char *action, int result)
{
  char message[4400];
  struct text text = TEXT(message);
  text_add(&text, action);
  text_add(&text, ": ");
  text_add(&text, strerror(-result));
  report_error(message, -1);
  return 1;
}

int run_command(const struct options *options)
{
  static struct shim shim;
  const char *action = NULL;
  shim = (struct shim){
    .options = *options,
    .epoll = -1,
    .signals.fd = -1,
    .listener.fd = -1,
    .stdin.fd = -1,
    .outputs = {{.source.fd = -1}, {.source.fd = -1}},
    .log = {.path = options->log, .fd = -1},
    .cgroup = {.dir = -1, .events = -1},
  };
  prctl(PR_SET_NAME, "skiff-shim");
  fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
  /* The modes of logs and their directories are fixed, whatever the daemon was started with. */
  umask(022);
  int failed = prepare(&shim, &action);
  if (failed < 0) {
    if (shim.listener.fd >= 0)
      unlink("shim.sock");
    return refuse(action, failed);
  }
  struct failure failure = {.exit_code = -1};
  if (start_container(&shim, &failure) < 0) {
    abandon_container(&shim);
    unlink("shim.sock");
    report_error(failure.message, failure.exit_code);
    return 1;
  }

  /* From here on the container runs: the shim may not end before it. */
  struct source oom = {.ready = oom_ready};
  cgroup_open(&shim.cgroup, shim.init);
  end_read_oom(&shim);
  oom.fd = shim.cgroup.events;
  if (oom.fd >= 0)
    watch(&shim, &oom, EPOLLPRI);
  stdio_watch(&shim);
  report_pid(shim.init);
  /* A SIGCHLD that came while the runtime was waited for has been read already. */
  end_reap(&shim);
  loop(&shim);
  unlink("shim.sock");
  return 0;
}
