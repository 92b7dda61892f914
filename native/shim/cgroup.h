/* The container's cgroup: killing all of it, and the OOM kills that it counts (cgroup-v2.rst). */
#pragma once

#include "util.h"

struct cgroup {
  /** O_PATH fd of its directory, -1 where there is none that is the container's alone. */
  int dir;
  /** memory.events, -1 where the controller is missing or the cgroup is gone. */
  int events;
  /** memory.events of the cgroup above, which counts the kills below it and outlives them; -1 where there is none. */
  int above;
  /** What `above` counted when `events` could last be read. */
  int64_t above_kills;
};

/** Finds the cgroup of `pid`; never fails, what there is not stays -1. */
void cgroup_open(struct cgroup *cgroup, pid_t pid);
void cgroup_close(struct cgroup *cgroup);
/** The oom_kill count of memory.events; -errno where it cannot be read any more. */
int64_t cgroup_oom_kills(struct cgroup *cgroup);
/** True where the cgroup above has counted a kill since memory.events could last be read. */
bool cgroup_oom_kill_above(const struct cgroup *cgroup);
/** Kills every process in the cgroup and below; -errno where this kernel or cgroup cannot. */
int cgroup_kill(const struct cgroup *cgroup);
/** Kills every descendant of the calling process, until none is alive. */
void kill_descendants(void);
