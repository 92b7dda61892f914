#define _GNU_SOURCE
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void text_bytes(struct text *text, const char *bytes, size_t len)
{
  size_t room = text->size - 1 - text->len;
  if (len > room)
    len = room;
  memcpy(text->at + text->len, bytes, len);
  text->len += len;
  text->at[text->len] = '\0';
}

void text_add(struct text *text, const char *string)
{
  text_bytes(text, string, strlen(string));
}

void text_number(struct text *text, int64_t number)
{
  char digits[24];
  size_t at = sizeof(digits);
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  do {
    digits[--at] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  if (number < 0)
    digits[--at] = '-';
  text_bytes(text, digits + at, sizeof(digits) - at);
}

void text_json(struct text *text, const char *string)
{
  static const char hex[] = "0123456789abcdef";
  text_add(text, "\"");
  for (const unsigned char *c = (const unsigned char *)string; *c != '\0'; c++) {
    char escape[7] = {'\\', 'u', '0', '0', hex[*c >> 4], hex[*c & 15], '\0'};
    if (*c == '"' || *c == '\\')
      text_bytes(text, (char[]){'\\', (char)*c}, 2);
    else if (*c < 0x20)
      text_add(text, escape);
    else
      text_bytes(text, (const char *)c, 1);
  }
  text_add(text, "\"");
}

ssize_t read_text(int dirfd, const char *path, char *buffer, size_t size)
{
  cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return -errno;
  size_t len = 0;
  while (len < size - 1) {
    ssize_t n = read(fd, buffer + len, size - 1 - len);
    if (n < 0)
      return -errno;
    if (n == 0)
      break;
    len += (size_t)n;
  }
  buffer[len] = '\0';
  return (ssize_t)len;
}

int write_text(int dirfd, const char *path, const char *string)
{
  cleanup_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return -errno;
  return write(fd, string, strlen(string)) < 0 ? -errno : 0;
}

int write_all(int fd, const void *bytes, size_t len)
{
  const char *at = bytes;
  while (len > 0) {
    ssize_t n = write(fd, at, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -errno;
    at += n;
    len -= (size_t)n;
  }
  return 0;
}

int make_parents(const char *path)
{
  cleanup_free char *copy = strdup(path);
  if (copy == NULL)
    return -ENOMEM;
  for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(copy, 0755) < 0 && errno != EEXIST)
      return -errno;
    *slash = '/';
  }
  return 0;
}

int set_nonblocking(int fd)
{
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

pid_t parent_of(pid_t pid, char *state)
{
  char path[32] = "", line[512];
  struct text name = TEXT(path);
  text_add(&name, "/proc/");
  text_number(&name, pid);
  text_add(&name, "/stat");
  ssize_t len = read_text(AT_FDCWD, path, line, sizeof(line));
  if (len < 0)
    return -ENOENT;
  /* pid (comm) S ppid: comm may hold anything, so the fields count from the last parenthesis (proc(5)). */
  const char *end = strrchr(line, ')');
  if (end == NULL || strlen(end) < 5)
    return -ENOENT;
  if (state != NULL)
    *state = end[2];
  return (pid_t)strtol(end + 4, NULL, 10);
}

int64_t now_ms(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t realtime_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
