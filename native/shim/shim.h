/*
 * The state of one running shim and the parts that work on it, in the order in
 * which a container passes through them: start -> stdio, clients -> end.
 */
#pragma once

#include "cgroup.h"
#include "logfile.h"
#include "protocol.h"
#include "util.h"

#include <sys/epoll.h>

enum {
  READ_SIZE = 65536,
  CLIENT_QUEUE_MAX = 256 * 1024,
  CLIENTS_MAX = 64,
  /* How long a client whose queue is full may hold the container's output up before it is dropped. */
  CLIENT_STALL_MS = 250,
  /* After init's death: how long output may be silent before the pipes are given up, and the bound on all of it. */
  DRAIN_QUIET_MS = 2000,
  DRAIN_TOTAL_MS = 30000,
  /* How long clients may take to fetch what is queued for them at the end. */
  LINGER_MS = 5000,
  /* How long nothing must happen before the shim makes itself small. */
  LEAN_MS = 500,
};

struct shim;

/** Something in the epoll set. */
struct source {
  int fd;
  void (*ready)(struct shim *shim, struct source *source, uint32_t events);
};

/** One stream that the container writes. */
struct output {
  struct source source;
  struct log_stream lines;
  enum frame_type frame;
  /** Watched for changes only: a terminal that no process has open. */
  bool idle;
};

struct chunk;

struct client {
  struct source source;
  struct client *next;
  bool dead;
  /** Events that epoll watches; -1 = not in the set. */
  int watched;
  /** The peer is gone, but frames of it are still to be read. */
  bool hung_up;
  uint8_t flags;
  bool stdin_ended;

  uint8_t head[FRAME_HEAD];
  size_t head_len;
  uint8_t *body;
  uint32_t body_size;
  uint32_t body_len;
  /** How far a STDIN frame is written, while the container's stdin is full. */
  uint32_t stdin_at;
  bool stdin_blocked;

  struct chunk *queue;
  struct chunk **queue_end;
  size_t queued;
  int64_t stalled_since;
};

struct options {
  const char *id;
  const char *bundle;
  const char *log;
  const char *exit_file;
  bool tty;
  bool stdin_open;
  bool stdin_once;
  long max_line;
  /** The runtime and its global arguments, NULL at the end. */
  char **runtime;
};

enum phase { PHASE_RUNNING, PHASE_DRAINING, PHASE_TOLD };

enum { UNSEEN_MAX = 16384 };

/** The last output of a terminal that nobody has attached to yet: the prompt that waits for somebody. */
struct unseen {
  /** NULL: somebody has, or it is no terminal to type at. */
  uint8_t *bytes;
  size_t len;
};

struct shim {
  struct options options;
  enum phase phase;
  bool done;
  int epoll;
  struct source signals;
  struct source listener;
  /** stdout and stderr; with a terminal only the first, its master. */
  struct output outputs[2];
  /** The container's stdin or a second fd of the terminal; -1 = none or closed. */
  struct source stdin;
  bool stdin_watched;
  struct client *stdin_owner;
  bool outputs_paused;
  struct unseen unseen;
  struct log_file log;
  struct cgroup cgroup;

  struct client *clients;
  int client_count;

  pid_t init;
  bool init_dead;
  int exit_code;
  int64_t finished_ns;
  bool oom_killed;
  /** A client sent SIGKILL. */
  bool kill_asked;
  int64_t drain_since;
  int64_t drain_quiet_since;
  int64_t told_at;
};

/* run.c */
int watch(struct shim *shim, struct source *source, uint32_t events);
void unwatch(struct shim *shim, struct source *source);

/* start.c: runs the runtime until the container's init is a child of the shim. */
struct failure {
  int exit_code;
  char message[2048];
};
int start_container(struct shim *shim, struct failure *failure);
/** Undoes a start that failed. */
void abandon_container(struct shim *shim);

/* stdio.c */
struct child_stdio {
  int in, out, err;
};
int stdio_pipes(struct shim *shim, struct child_stdio *child);
int stdio_console(struct shim *shim, int master);
int stdio_watch(struct shim *shim);
bool outputs_open(const struct shim *shim);
void outputs_pause(struct shim *shim, bool pause);
/** After init's death: a terminal that was idle has come to its end. */
void outputs_recheck(struct shim *shim);
/** Shows the first client that attaches to a terminal what it has missed. */
void unseen_show(struct shim *shim, struct client *client);
void stdin_close(struct shim *shim);
/** Writes a client's STDIN frame; false = the container's stdin is full, the rest follows when it is not. */
bool stdin_write(struct shim *shim, struct client *client);
/** The client goes away: its unfinished frame is given up. */
void stdin_forget(struct shim *shim, struct client *client);

/* client.c */
int clients_listen(struct shim *shim);
void clients_send_output(struct shim *shim, enum frame_type type, const uint8_t *bytes, size_t len);
void clients_send_exit(struct shim *shim);
/** The client's STDIN frame is written: its next frame may be read. */
void client_resume(struct shim *shim, struct client *client);
void client_drop(struct shim *shim, struct client *client);
void client_send(struct shim *shim, struct client *client, enum frame_type type, const void *payload, size_t len);
/** Frees dropped clients, drops those that stall; milliseconds until the next one is due, -1 = none. */
int clients_sweep(struct shim *shim);
bool clients_flushed(const struct shim *shim);

/* request.c: one whole frame of a client; false = the client broke the protocol. */
bool request_handle(struct shim *shim, struct client *client);

/* end.c */
void end_reap(struct shim *shim);
/** Moves the end of the container on; milliseconds until it wants to be called again, -1 = none. */
int end_step(struct shim *shim);
void end_read_oom(struct shim *shim);
