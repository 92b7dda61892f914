#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

static void put_u32(uint8_t *at, uint32_t number)
{
  for (int i = 0; i < 4; i++)
    at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void send_state(struct shim *shim, struct client *client)
{
  uint8_t payload[17];
  put_u32(payload, (uint32_t)shim->init);
  put_u32(payload + 4, (uint32_t)getpid());
  payload[8] = shim->phase == PHASE_TOLD ? STATE_EXITED : STATE_RUNNING;
  put_u32(payload + 9, (uint32_t)(shim->log.lost >> 32));
  put_u32(payload + 13, (uint32_t)shim->log.lost);
  client_send(shim, client, FRAME_STATE, payload, sizeof(payload));
}

/* `result` is 0 or -errno. */
static void send_done(struct shim *shim, struct client *client, int result)
{
  uint8_t payload[5] = {client->head[0]};
  put_u32(payload + 1, (uint32_t)-result);
  client_send(shim, client, FRAME_DONE, payload, sizeof(payload));
}

/*
 * The shim is the parent and has not reaped init while init_dead is false, so
 * the pid cannot have passed to another process.
 */
static int kill_container(struct shim *shim, int signal, bool all)
{
  if (signal < 1 || signal > SIGRTMAX || (all && signal != SIGKILL))
    return -EINVAL;
  if (shim->init_dead)
    return -ESRCH;
  shim->kill_asked |= signal == SIGKILL;
  if (!all)
    return kill(shim->init, signal) < 0 ? -errno : 0;
  if (cgroup_kill(&shim->cgroup) < 0)
    kill_descendants();
  return 0;
}

static int resize_terminal(struct shim *shim, const uint8_t *body)
{
  struct winsize size = {
    .ws_col = (unsigned short)(body[0] << 8 | body[1]),
    .ws_row = (unsigned short)(body[2] << 8 | body[3]),
  };
  if (!shim->options.tty)
    return -ENOTTY;
  if (shim->outputs[0].source.fd < 0)
    return -EIO;
  return ioctl(shim->outputs[0].source.fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* A terminal has no end of input of its own: its stdin stays until the container ends. */
static int close_stdin(struct shim *shim)
{
  if (!shim->options.tty)
    stdin_close(shim);
  return 0;
}

static bool attach(struct shim *shim, struct client *client)
{
  uint8_t flags = client->body[0];
  if (client->flags != 0 || flags == 0 || flags > (ATTACH_STDIN | ATTACH_STDOUT | ATTACH_STDERR))
    return false;
  client->flags = flags;
  send_done(shim, client, 0);
  if ((flags & ATTACH_STDOUT) != 0)
    unseen_show(shim, client);
  return true;
}

static bool take_stdin(struct shim *shim, struct client *client)
{
  if ((client->flags & ATTACH_STDIN) == 0 || client->stdin_ended)
    return false;
  client->stdin_blocked = !stdin_write(shim, client);
  return true;
}

static bool end_stdin(struct shim *shim, struct client *client)
{
  if ((client->flags & ATTACH_STDIN) == 0 || client->stdin_ended)
    return false;
  client->stdin_ended = true;
  if (shim->options.stdin_once)
    close_stdin(shim);
  return true;
}

bool request_handle(struct shim *shim, struct client *client)
{
  static const uint8_t sizes[] = {
    [FRAME_HELLO] = 1, [FRAME_KILL] = 2, [FRAME_REOPEN_LOG] = 0, [FRAME_RESIZE] = 4,
    [FRAME_CLOSE_STDIN] = 0, [FRAME_ATTACH] = 1, [FRAME_STDIN_END] = 0,
  };
  uint8_t type = client->head[0];
  const uint8_t *body = client->body;
  if (type == 0 || type > FRAME_STDIN_END)
    return false;
  if (type != FRAME_STDIN && client->body_len != sizes[type])
    return false;
  switch (type) {
  case FRAME_HELLO:
    if (body[0] != PROTOCOL_VERSION)
      return false;
    send_state(shim, client);
    return true;
  case FRAME_KILL:
    send_done(shim, client, kill_container(shim, body[0], body[1] != 0));
    return true;
  case FRAME_REOPEN_LOG:
    send_done(shim, client, log_file_open(&shim->log));
    return true;
  case FRAME_RESIZE:
    send_done(shim, client, resize_terminal(shim, body));
    return true;
  case FRAME_CLOSE_STDIN:
    send_done(shim, client, close_stdin(shim));
    return true;
  case FRAME_ATTACH:
    return attach(shim, client);
  case FRAME_STDIN:
    return take_stdin(shim, client);
  default:
    return end_stdin(shim, client);
  }
}
