#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define SOCKET_NAME "shim.sock"

struct chunk {
  struct chunk *next;
  size_t len, at;
  uint8_t bytes[];
};

static void update_events(struct shim *shim, struct client *client)
{
  int wanted = (client->stdin_blocked ? 0 : EPOLLIN) | (client->queue != NULL ? EPOLLOUT : 0);
  /* A hang-up is reported whatever is asked for: while it cannot be acted on the client is out of the set. */
  if (client->dead || (client->hung_up && client->stdin_blocked))
    wanted = -1;
  if (wanted == client->watched)
    return;
  int operation = wanted < 0 ? EPOLL_CTL_DEL : client->watched < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  struct epoll_event event = {.events = (uint32_t)wanted, .data.ptr = &client->source};
  epoll_ctl(shim->epoll, operation, client->source.fd, &event);
  client->watched = wanted;
}

static void free_queue(struct client *client)
{
  while (client->queue != NULL) {
    struct chunk *chunk = client->queue;
    client->queue = chunk->next;
    free(chunk);
  }
  client->queue_end = &client->queue;
  client->queued = 0;
}

/* Output flows again once no client holds it up. */
static void settle_pause(struct shim *shim)
{
  bool stalled = false;
  for (struct client *c = shim->clients; c != NULL; c = c->next)
    stalled |= !c->dead && c->stalled_since != 0;
  outputs_pause(shim, stalled);
}

void client_drop(struct shim *shim, struct client *client)
{
  if (client->dead)
    return;
  client->dead = true;
  client->stdin_blocked = false;
  free_queue(client);
  update_events(shim, client);
  close_at(&client->source.fd);
  stdin_forget(shim, client);
  if ((client->flags & ATTACH_STDIN) != 0 && !client->stdin_ended && shim->options.stdin_once && !shim->options.tty)
    stdin_close(shim);
}

static bool enqueue(struct client *client, const struct iovec parts[2], size_t skip)
{
  size_t len = parts[0].iov_len + parts[1].iov_len - skip;
  if (client->queued + len > CLIENT_QUEUE_MAX + 2 * FRAME_MAX)
    return false;
  struct chunk *chunk = malloc(sizeof(*chunk) + len);
  if (chunk == NULL)
    return false;
  *chunk = (struct chunk){.len = len};
  size_t at = 0;
  for (int i = 0; i < 2; i++) {
    size_t cut = skip < parts[i].iov_len ? skip : parts[i].iov_len;
    if (parts[i].iov_len > cut)
      memcpy(chunk->bytes + at, (const uint8_t *)parts[i].iov_base + cut, parts[i].iov_len - cut);
    at += parts[i].iov_len - cut;
    skip -= cut;
  }
  *client->queue_end = chunk;
  client->queue_end = &chunk->next;
  client->queued += len;
  return true;
}

void client_send(struct shim *shim, struct client *client, enum frame_type type, const void *payload, size_t len)
{
  if (client->dead || client->hung_up)
    return;
  uint8_t head[FRAME_HEAD] = {(uint8_t)type, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                              (uint8_t)len};
  struct iovec parts[2] = {{head, sizeof(head)}, {(void *)payload, len}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  ssize_t sent = 0;
  if (client->queue == NULL)
    sent = sendmsg(client->source.fd, &message, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) {
    client_drop(shim, client);
    return;
  }
  size_t done = sent < 0 ? 0 : (size_t)sent;
  if (done < sizeof(head) + len && !enqueue(client, parts, done))
    client_drop(shim, client);
  else
    update_events(shim, client);
}

static void flush_queue(struct shim *shim, struct client *client)
{
  while (client->queue != NULL) {
    struct chunk *chunk = client->queue;
    ssize_t sent = send(client->source.fd, chunk->bytes + chunk->at, chunk->len - chunk->at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
      break;
    if (sent < 0) {
      client_drop(shim, client);
      return;
    }
    chunk->at += (size_t)sent;
    client->queued -= (size_t)sent;
    if (chunk->at < chunk->len)
      continue;
    client->queue = chunk->next;
    if (client->queue == NULL)
      client->queue_end = &client->queue;
    free(chunk);
  }
  if (client->queued <= CLIENT_QUEUE_MAX / 2)
    client->stalled_since = 0;
  update_events(shim, client);
  settle_pause(shim);
}

void clients_send_output(struct shim *shim, enum frame_type type, const uint8_t *bytes, size_t len)
{
  uint8_t flag = type == FRAME_STDOUT ? ATTACH_STDOUT : ATTACH_STDERR;
  for (struct client *c = shim->clients; c != NULL; c = c->next) {
    if (c->dead || (c->flags & flag) == 0)
      continue;
    client_send(shim, c, type, bytes, len);
    if (c->queued > CLIENT_QUEUE_MAX && c->stalled_since == 0)
      c->stalled_since = now_ms();
  }
  settle_pause(shim);
}

static void send_exit(struct shim *shim, struct client *client)
{
  uint8_t payload[10] = {(uint8_t)shim->exit_code, shim->oom_killed};
  for (int i = 0; i < 8; i++)
    payload[2 + i] = (uint8_t)((uint64_t)shim->finished_ns >> (56 - 8 * i));
  client_send(shim, client, FRAME_EXIT, payload, sizeof(payload));
}

void clients_send_exit(struct shim *shim)
{
  for (struct client *c = shim->clients; c != NULL; c = c->next)
    send_exit(shim, c);
}

/* Reads what is missing of the head or the body: 1 = a frame is whole, 0 = not yet, -1 = the connection is over. */
static int read_frame(struct client *client)
{
  for (;;) {
    bool in_head = client->head_len < FRAME_HEAD;
    uint8_t *into = in_head ? client->head + client->head_len : client->body + client->body_len;
    size_t missing = in_head ? FRAME_HEAD - client->head_len : client->body_size - client->body_len;
    if (missing == 0)
      return 1;
    ssize_t len = recv(client->source.fd, into, missing, 0);
    if (len < 0 && errno == EAGAIN)
      return 0;
    if (len <= 0)
      return -1;
    if (!in_head) {
      client->body_len += (uint32_t)len;
      continue;
    }
    client->head_len += (size_t)len;
    if (client->head_len < FRAME_HEAD)
      continue;
    const uint8_t *size = client->head + 1;
    client->body_size = (uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 | size[3];
    if (client->body_size > FRAME_MAX)
      return -1;
    client->body = malloc(client->body_size + 1);
    if (client->body == NULL)
      return -1;
  }
}

static void end_frame(struct client *client)
{
  free(client->body);
  client->body = NULL;
  client->head_len = 0;
  client->body_len = client->body_size = 0;
}

static void client_ready(struct shim *shim, struct source *source, uint32_t events)
{
  struct client *client = (struct client *)source;
  if (!client->dead && (events & EPOLLOUT) != 0)
    flush_queue(shim, client);
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !client->dead) {
    client->hung_up = true;
    free_queue(client);
  }
  /* Some frames a turn, then the other sources get theirs. */
  for (int turn = 0; turn < 16 && !client->dead && !client->stdin_blocked; turn++) {
    int whole = read_frame(client);
    if (whole == 0)
      break;
    bool was_told = shim->phase == PHASE_TOLD;
    if (whole < 0 || !request_handle(shim, client)) {
      client_drop(shim, client);
      break;
    }
    if (was_told && client->head[0] == FRAME_HELLO)
      send_exit(shim, client);
    if (!client->stdin_blocked)
      end_frame(client);
  }
  update_events(shim, client);
}

void client_resume(struct shim *shim, struct client *client)
{
  client->stdin_blocked = false;
  end_frame(client);
  update_events(shim, client);
}

static void accept_client(struct shim *shim, struct source *listener, uint32_t events)
{
  (void)events;
  cleanup_close int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0 || shim->client_count >= CLIENTS_MAX)
    return;
  struct client *client = calloc(1, sizeof(*client));
  if (client == NULL)
    return;
  client->source = (struct source){.fd = take_fd(&fd), .ready = client_ready};
  client->queue_end = &client->queue;
  client->watched = -1;
  client->next = shim->clients;
  shim->clients = client;
  shim->client_count++;
  update_events(shim, client);
}

/* A socket file that nobody answers on is the remains of a shim that was killed. */
static bool is_stale(const struct sockaddr_un *address)
{
  cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

int clients_listen(struct shim *shim)
{
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_NAME};
  cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  mode_t mask = umask(0177);
  int bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
  if (bound < 0 && errno == EADDRINUSE && is_stale(&address) && unlink(SOCKET_NAME) == 0)
    bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
  int failed = bound < 0 ? -errno : 0;
  umask(mask);
  if (failed < 0 || listen(fd, SOMAXCONN) < 0)
    return failed < 0 ? failed : -errno;
  shim->listener = (struct source){.fd = take_fd(&fd), .ready = accept_client};
  return 0;
}

int clients_sweep(struct shim *shim)
{
  int64_t now = now_ms();
  int due = -1;
  for (struct client *c = shim->clients; c != NULL; c = c->next) {
    if (c->dead || c->stalled_since == 0)
      continue;
    int64_t left = c->stalled_since + CLIENT_STALL_MS - now;
    if (left <= 0)
      client_drop(shim, c);
    else if (due < 0 || left < due)
      due = (int)left;
  }
  for (struct client **at = &shim->clients; *at != NULL;) {
    struct client *client = *at;
    if (!client->dead) {
      at = &client->next;
      continue;
    }
    *at = client->next;
    free(client->body);
    free(client);
    shim->client_count--;
  }
  settle_pause(shim);
  return due;
}

bool clients_flushed(const struct shim *shim)
{
  for (const struct client *c = shim->clients; c != NULL; c = c->next)
    if (!c->dead && c->queue != NULL)
      return false;
  return true;
}
