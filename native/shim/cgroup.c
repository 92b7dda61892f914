#define _GNU_SOURCE
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The path in the line "0::/path" of /proc/PID/cgroup (cgroups(7)); -ENOENT without one. */
static int unified_path(const char *pid, char *path, size_t size)
{
  char name[64], text[4096];
  struct text file = TEXT(name);
  text_add(&file, "/proc/");
  text_add(&file, pid);
  text_add(&file, "/cgroup");
  ssize_t len = read_text(AT_FDCWD, name, text, sizeof(text));
  if (len < 0)
    return (int)len;
  char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
  if (line == NULL)
    return -ENOENT;
  line += line == text ? 3 : 4;
  size_t end = strcspn(line, "\n");
  if (end >= size)
    return -ENAMETOOLONG;
  memcpy(path, line, end);
  path[end] = '\0';
  return 0;
}

/* True where killing `path` would kill the shim too: its own cgroup or one above it. */
static bool holds_shim(const char *path)
{
  char own[4096];
  if (unified_path("self", own, sizeof(own)) < 0)
    return true;
  size_t len = strlen(path);
  return strcmp(path, "/") == 0 || (strncmp(own, path, len) == 0 && (own[len] == '\0' || own[len] == '/'));
}

static int64_t read_oom_kills(int events)
{
  char text[512];
  if (events < 0)
    return -ENOENT;
  ssize_t len = pread(events, text, sizeof(text) - 1, 0);
  if (len < 0)
    return -errno;
  text[len] = '\0';
  const char *count = strstr(text, "oom_kill ");
  return count == NULL ? 0 : strtoll(count + strlen("oom_kill "), NULL, 10);
}

void cgroup_open(struct cgroup *cgroup, pid_t pid)
{
  char number[24], path[4096], full[4200];
  struct text digits = TEXT(number), name = TEXT(full);
  text_number(&digits, pid);
  *cgroup = (struct cgroup){.dir = -1, .events = -1, .above = -1};
  if (unified_path(number, path, sizeof(path)) < 0 || holds_shim(path))
    return;
  text_add(&name, CGROUP_ROOT);
  text_add(&name, path);
  cgroup->dir = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (cgroup->dir < 0)
    return;
  cgroup->events = openat(cgroup->dir, "memory.events", O_RDONLY | O_CLOEXEC);
  cgroup->above = openat(cgroup->dir, "../memory.events", O_RDONLY | O_CLOEXEC);
  cgroup->above_kills = read_oom_kills(cgroup->above);
}

void cgroup_close(struct cgroup *cgroup)
{
  close_at(&cgroup->dir);
  close_at(&cgroup->events);
  close_at(&cgroup->above);
}

int64_t cgroup_oom_kills(struct cgroup *cgroup)
{
  int64_t above = read_oom_kills(cgroup->above), kills = read_oom_kills(cgroup->events);
  if (kills >= 0)
    cgroup->above_kills = above;
  return kills;
}

bool cgroup_oom_kill_above(const struct cgroup *cgroup)
{
  return cgroup->events >= 0 && read_oom_kills(cgroup->above) > cgroup->above_kills;
}

int cgroup_kill(const struct cgroup *cgroup)
{
  return cgroup->dir < 0 ? -ENOENT : write_text(cgroup->dir, "cgroup.kill", "1");
}

struct process {
  pid_t pid, parent;
  bool ours;
};

/* All living processes of /proc; their number. */
static int list_processes(struct process **processes)
{
  int count = 0, size = 0;
  DIR *proc = opendir("/proc");
  if (proc == NULL)
    return 0;
  for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    char state = 'Z';
    pid_t parent = pid > 0 ? parent_of(pid, &state) : -1;
    if (parent < 0 || state == 'Z' || state == 'X')
      continue;
    if (count == size) {
      size = size == 0 ? 128 : size * 2;
      struct process *larger = realloc(*processes, (size_t)size * sizeof(**processes));
      if (larger == NULL)
        break;
      *processes = larger;
    }
    (*processes)[count++] = (struct process){.pid = pid, .parent = parent};
  }
  closedir(proc);
  return count;
}

static bool descends(const struct process *processes, int count, pid_t parent)
{
  if (parent == getpid())
    return true;
  for (int i = 0; i < count; i++)
    if (processes[i].pid == parent)
      return processes[i].ours;
  return false;
}

static int kill_round(void)
{
  cleanup_free struct process *processes = NULL;
  int count = list_processes(&processes), killed = 0;
  for (bool found = true; found;) {
    found = false;
    for (int i = 0; i < count; i++) {
      if (processes[i].ours || !descends(processes, count, processes[i].parent))
        continue;
      processes[i].ours = found = true;
      if (kill(processes[i].pid, SIGKILL) == 0)
        killed++;
    }
  }
  return killed;
}

void kill_descendants(void)
{
  /* A child forked between the reading and the kill is found by the next round; a zombie is no longer listed. */
  for (int round = 0; round < 100 && kill_round() > 0; round++)
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}
