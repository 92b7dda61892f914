#define _GNU_SOURCE
#include "logfile.h"

#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int log_file_open(struct log_file *log)
{
  if (log->path[0] == '\0')
    return 0;
  int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  int fd = open(log->path, flags, 0640);
  if (fd < 0 && errno == ENOENT) {
    int made = make_parents(log->path);
    if (made < 0)
      return made;
    fd = open(log->path, flags, 0640);
  }
  if (fd < 0)
    return -errno;
  log_file_close(log);
  log->fd = fd;
  log->torn = false;
  return 0;
}

void log_file_close(struct log_file *log)
{
  close_at(&log->fd);
}

static size_t total_of(const struct iovec *parts, int count)
{
  size_t total = 0;
  for (int i = 0; i < count; i++)
    total += parts[i].iov_len;
  return total;
}

/* After a short write of `written` bytes: the part that begins the first line not whole, and what of it was written. */
static int first_unwritten(const struct log_stream *stream, const struct iovec *parts, int count, size_t written,
                           size_t *torn)
{
  int line = 0;
  size_t at = 0, line_at = 0;
  for (int i = 0; i < count && at <= written; i++) {
    if (log_starts_line(stream, &parts[i])) {
      line = i;
      line_at = at;
    }
    at += parts[i].iov_len;
  }
  *torn = written - line_at;
  return line;
}

/* Takes the last `torn` bytes of the file back. */
static bool take_back(int fd, size_t torn)
{
  off_t end = lseek(fd, 0, SEEK_END);
  return end >= (off_t)torn && ftruncate(fd, end - (off_t)torn) == 0;
}

static void write_lines(void *to, const struct log_stream *stream, struct iovec *parts, int count)
{
  struct log_file *log = to;
  if (log->fd < 0)
    return;
  if (log->torn && write(log->fd, "\n", 1) == 1)
    log->torn = false;
  while (count > 0) {
    size_t total = total_of(parts, count);
    ssize_t written = log->torn ? -1 : writev(log->fd, parts, count);
    if (written == (ssize_t)total)
      return;
    if (written <= 0) {
      log->lost += total;
      return;
    }
    size_t torn;
    int line = first_unwritten(stream, parts, count, (size_t)written, &torn);
    log->torn = torn > 0 && !take_back(log->fd, torn);
    if (line == 0) {
      log->lost += total;
      return;
    }
    parts += line;
    count -= line;
  }
}

struct log_sink log_file_sink(struct log_file *log)
{
  return (struct log_sink){.write = write_lines, .to = log};
}
