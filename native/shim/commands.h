/* The sub-commands of skiff-shim; each returns the exit code of the process. */
#pragma once

struct options;

int run_command(const struct options *options);

struct pod_init {
  /** Namespace files to enter, NULL = the caller's own. */
  const char *net, *ipc, *uts;
  /** Directory of the cgroup to join, NULL = the caller's own. */
  const char *cgroup;
  /** Gets the pid before it is reported: whoever asked may be gone by then. NULL = none. */
  const char *pid_file;
};

/** Starts pid 1 of a new PID namespace and reports its pid. */
int init_command(const struct pod_init *options);
/** The program of that pid 1. */
int init_main(void);

#define INIT_NAME "skiff-init"
