#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static uint8_t read_buffer[READ_SIZE];

static void output_end(struct shim *shim, struct output *output)
{
  log_stream_end(&output->lines, realtime_ns(), log_file_sink(&shim->log));
  log_stream_free(&output->lines);
  unwatch(shim, &output->source);
  close_at(&output->source.fd);
}

/* A terminal without an open slave reads EIO until one is opened again: meanwhile only a change may wake the loop. */
static void set_idle(struct shim *shim, struct output *output, bool idle)
{
  if (output->idle == idle)
    return;
  output->idle = idle;
  struct epoll_event event = {.events = EPOLLIN | (idle ? EPOLLET : 0), .data.ptr = &output->source};
  epoll_ctl(shim->epoll, EPOLL_CTL_MOD, output->source.fd, &event);
}

static void unseen_keep(struct unseen *unseen, const uint8_t *bytes, size_t len)
{
  if (unseen->bytes == NULL)
    return;
  size_t keep = len < UNSEEN_MAX ? len : UNSEEN_MAX;
  size_t over = unseen->len + keep > UNSEEN_MAX ? unseen->len + keep - UNSEEN_MAX : 0;
  memmove(unseen->bytes, unseen->bytes + over, unseen->len - over);
  memcpy(unseen->bytes + unseen->len - over, bytes + len - keep, keep);
  unseen->len += keep - over;
}

void unseen_show(struct shim *shim, struct client *client)
{
  if (shim->unseen.len > 0)
    client_send(shim, client, FRAME_STDOUT, shim->unseen.bytes, shim->unseen.len);
  free(shim->unseen.bytes);
  shim->unseen = (struct unseen){0};
}

static void output_ready(struct shim *shim, struct source *source, uint32_t events)
{
  struct output *output = (struct output *)source;
  (void)events;
  /* A few reads a turn, then the other sources get theirs. */
  for (int turn = 0; turn < 4 && source->fd >= 0; turn++) {
    ssize_t len = read(source->fd, read_buffer, sizeof(read_buffer));
    if (len < 0 && errno == EAGAIN)
      return;
    if (len < 0 && errno == EIO && !shim->init_dead) {
      set_idle(shim, output, true);
      return;
    }
    if (len <= 0) {
      output_end(shim, output);
      return;
    }
    set_idle(shim, output, false);
    shim->drain_quiet_since = now_ms();
    log_stream_feed(&output->lines, realtime_ns(), read_buffer, (size_t)len, log_file_sink(&shim->log));
    unseen_keep(&shim->unseen, read_buffer, (size_t)len);
    clients_send_output(shim, output->frame, read_buffer, (size_t)len);
    if (shim->outputs_paused)
      return;
  }
}

static void stdin_watch(struct shim *shim, bool watched)
{
  if (shim->stdin.fd < 0 || shim->stdin_watched == watched)
    return;
  if (watched)
    watch(shim, &shim->stdin, EPOLLOUT);
  else
    unwatch(shim, &shim->stdin);
  shim->stdin_watched = watched;
}

void stdin_close(struct shim *shim)
{
  stdin_watch(shim, false);
  close_at(&shim->stdin.fd);
}

bool stdin_write(struct shim *shim, struct client *client)
{
  if (shim->stdin_owner != NULL && shim->stdin_owner != client)
    return false;
  while (shim->stdin.fd >= 0 && client->stdin_at < client->body_len) {
    ssize_t len = write(shim->stdin.fd, client->body + client->stdin_at, client->body_len - client->stdin_at);
    if (len < 0 && errno == EAGAIN) {
      shim->stdin_owner = client;
      stdin_watch(shim, true);
      return false;
    }
    if (len < 0)
      stdin_close(shim);
    else
      client->stdin_at += (uint32_t)len;
  }
  client->stdin_at = 0;
  shim->stdin_owner = NULL;
  return true;
}

/* Lets waiting clients write in turn until stdin is full again. */
static void stdin_turn(struct shim *shim)
{
  struct client *first = shim->stdin_owner;
  if (first != NULL && stdin_write(shim, first))
    client_resume(shim, first);
  for (struct client *c = shim->clients; c != NULL && shim->stdin_owner == NULL; c = c->next)
    if (c->stdin_blocked && !c->dead && stdin_write(shim, c))
      client_resume(shim, c);
  stdin_watch(shim, shim->stdin_owner != NULL);
}

static void stdin_ready(struct shim *shim, struct source *source, uint32_t events)
{
  (void)source;
  /* No reader is left: what clients send is taken and discarded from now on. */
  if ((events & EPOLLERR) != 0 && !shim->options.tty)
    stdin_close(shim);
  stdin_turn(shim);
}

void stdin_forget(struct shim *shim, struct client *client)
{
  if (shim->stdin_owner != client)
    return;
  shim->stdin_owner = NULL;
  stdin_turn(shim);
}

static void output_init(struct shim *shim, struct output *output, const char *name, enum frame_type frame, int fd)
{
  output->source = (struct source){.fd = fd, .ready = output_ready};
  output->frame = frame;
  log_stream_init(&output->lines, name, shim->options.max_line);
}

/* A pipe whose shim end does not block; the container's end is returned in *child. */
static int container_pipe(int *child, bool container_reads)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -errno;
  int own = container_reads ? ends[1] : ends[0];
  *child = container_reads ? ends[0] : ends[1];
  set_nonblocking(own);
  return own;
}

int stdio_pipes(struct shim *shim, struct child_stdio *child)
{
  cleanup_close int out = container_pipe(&child->out, false);
  cleanup_close int err = container_pipe(&child->err, false);
  if (out < 0 || err < 0)
    return out < 0 ? out : err;
  if (shim->options.stdin_open) {
    shim->stdin.fd = container_pipe(&child->in, true);
    if (shim->stdin.fd < 0)
      return shim->stdin.fd;
  }
  output_init(shim, &shim->outputs[0], "stdout", FRAME_STDOUT, take_fd(&out));
  output_init(shim, &shim->outputs[1], "stderr", FRAME_STDERR, take_fd(&err));
  return 0;
}

int stdio_console(struct shim *shim, int master)
{
  cleanup_close int in = fcntl(master, F_DUPFD_CLOEXEC, 3);
  if (in < 0 || set_nonblocking(master) < 0)
    return -errno;
  if (shim->options.stdin_open) {
    shim->stdin.fd = take_fd(&in);
    shim->unseen.bytes = malloc(UNSEEN_MAX);
  }
  output_init(shim, &shim->outputs[0], "stdout", FRAME_STDOUT, master);
  return 0;
}

int stdio_watch(struct shim *shim)
{
  shim->stdin.ready = stdin_ready;
  for (int i = 0; i < 2; i++) {
    if (shim->outputs[i].source.fd < 0)
      continue;
    int failed = watch(shim, &shim->outputs[i].source, EPOLLIN);
    if (failed < 0)
      return failed;
  }
  return 0;
}

bool outputs_open(const struct shim *shim)
{
  return shim->outputs[0].source.fd >= 0 || shim->outputs[1].source.fd >= 0;
}

void outputs_recheck(struct shim *shim)
{
  for (int i = 0; i < 2; i++)
    if (shim->outputs[i].source.fd >= 0)
      set_idle(shim, &shim->outputs[i], false);
}

void outputs_pause(struct shim *shim, bool pause)
{
  if (shim->outputs_paused == pause)
    return;
  shim->outputs_paused = pause;
  for (int i = 0; i < 2; i++) {
    struct source *source = &shim->outputs[i].source;
    if (source->fd < 0)
      continue;
    shim->outputs[i].idle = false;
    if (pause)
      unwatch(shim, source);
    else
      watch(shim, source, EPOLLIN);
  }
}
