#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static void init_ended(struct shim *shim, const siginfo_t *info)
{
  shim->finished_ns = realtime_ns();
  shim->init_dead = true;
  shim->exit_code = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
  /* At once: systemd removes the cgroup of a scope as soon as it is empty, and the counts go with it. */
  end_read_oom(shim);
  shim->phase = PHASE_DRAINING;
  shim->drain_since = shim->drain_quiet_since = now_ms();
  /* With a PID namespace of its own the kernel has ended the rest already; with the host's or the pod's it has not. */
  if (cgroup_kill(&shim->cgroup) < 0)
    kill_descendants();
  stdin_close(shim);
  outputs_recheck(shim);
}

void end_reap(struct shim *shim)
{
  /* Orphans of the container come to the shim, its subreaper, too: they are only taken off the process table. */
  for (siginfo_t info = {0}; waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0; info.si_pid = 0)
    if (info.si_pid == shim->init && !shim->init_dead)
      init_ended(shim, &info);
}

void end_read_oom(struct shim *shim)
{
  int64_t kills = cgroup_oom_kills(&shim->cgroup);
  if (kills > 0)
    shim->oom_killed = true;
  /* The cgroup went before its counts were read: a SIGKILL that nobody asked for, and a kill counted above since, are one. */
  if (kills < 0 && shim->init_dead && shim->exit_code == 128 + SIGKILL && !shim->kill_asked &&
      cgroup_oom_kill_above(&shim->cgroup))
    shim->oom_killed = true;
}

static int sync_parent(const char *path)
{
  cleanup_free char *copy = strdup(path);
  if (copy == NULL)
    return -ENOMEM;
  cleanup_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_synced(const char *path, const char *bytes, size_t len)
{
  cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return -errno;
  int failed = write_all(fd, bytes, len);
  if (failed < 0)
    return failed;
  return fsync(fd) < 0 ? -errno : 0;
}

/* The exit record, durable when this returns 0. */
static int write_record(const struct shim *shim)
{
  char json[128], temporary[4096];
  struct text record = TEXT(json), name = TEXT(temporary);
  const char *path = shim->options.exit_file;
  text_add(&record, "{\"exitCode\":");
  text_number(&record, shim->exit_code);
  text_add(&record, ",\"finishedAt\":\"");
  text_number(&record, shim->finished_ns);
  text_add(&record, shim->oom_killed ? "\",\"oomKilled\":true}\n" : "\",\"oomKilled\":false}\n");
  text_add(&name, path);
  text_add(&name, ".tmp");
  int failed = write_synced(temporary, json, record.len);
  if (failed == 0 && rename(temporary, path) < 0)
    failed = -errno;
  if (failed < 0) {
    unlink(temporary);
    return failed;
  }
  return sync_parent(path);
}

static void tell(struct shim *shim)
{
  end_read_oom(shim);
  cgroup_close(&shim->cgroup);
  for (int i = 0; i < 2; i++) {
    struct output *output = &shim->outputs[i];
    if (output->source.fd < 0)
      continue;
    log_stream_end(&output->lines, realtime_ns(), log_file_sink(&shim->log));
    unwatch(shim, &output->source);
    close_at(&output->source.fd);
  }
  log_file_close(&shim->log);
  /* A full disk may be freed; past that, clients are told what no file could keep. */
  for (int try = 0; try < 50 && write_record(shim) < 0; try++)
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
  shim->phase = PHASE_TOLD;
  shim->told_at = now_ms();
  clients_send_exit(shim);
}

static int until(int64_t instant, int64_t now)
{
  return instant > now ? (int)(instant - now) : 0;
}

int end_step(struct shim *shim)
{
  int64_t now = now_ms();
  if (shim->phase == PHASE_DRAINING) {
    int64_t quiet = shim->drain_quiet_since + DRAIN_QUIET_MS;
    int64_t last = shim->drain_since + DRAIN_TOTAL_MS;
    int64_t end = quiet < last ? quiet : last;
    if (outputs_open(shim) && now < end)
      return until(end, now);
    tell(shim);
  }
  if (shim->phase == PHASE_TOLD) {
    if (!clients_flushed(shim) && now < shim->told_at + LINGER_MS)
      return until(shim->told_at + LINGER_MS, now);
    shim->done = true;
  }
  return -1;
}
