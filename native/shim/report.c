#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int report_pid(pid_t pid)
{
  char json[64];
  struct text text = TEXT(json);
  text_add(&text, "{\"pid\":");
  text_number(&text, pid);
  text_add(&text, "}\n");
  int failed = write_all(REPORT_FD, json, text.len);
  close(REPORT_FD);
  return failed;
}

void report_error(const char *message, int exit_code)
{
  /* Six bytes for each that must be escaped. */
  char json[16384];
  struct text text = TEXT(json);
  text_add(&text, "{\"exit\":");
  text_number(&text, exit_code);
  text_add(&text, ",\"error\":");
  text_json(&text, message);
  text_add(&text, "}\n");
  write_all(REPORT_FD, json, text.len);
  close(REPORT_FD);
}

static int hex_value(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits as a code point of the basic plane, in UTF-8; how many bytes of `from` were used. */
static size_t add_code_point(struct text *text, const char *from)
{
  unsigned code = 0;
  for (size_t i = 0; i < 4; i++) {
    int value = hex_value(from[i]);
    if (value < 0)
      return i;
    code = code << 4 | (unsigned)value;
  }
  if (code < 0x80)
    text_bytes(text, (char[]){(char)code}, 1);
  else if (code < 0x800)
    text_bytes(text, (char[]){(char)(0xc0 | code >> 6), (char)(0x80 | (code & 63))}, 2);
  else
    text_bytes(text, (char[]){(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 63)), (char)(0x80 | (code & 63))},
               3);
  return 4;
}

/* The JSON string that begins at `from`, after its opening quote. */
static void unquote(struct text *text, const char *from)
{
  for (; *from != '\0' && *from != '"' && *from != '\n'; from++) {
    if (*from != '\\') {
      text_bytes(text, from, 1);
      continue;
    }
    from++;
    static const char escaped[] = "nrtbf", plain[] = "\n\r\t\b\f";
    const char *known = *from == '\0' ? NULL : strchr(escaped, *from);
    if (*from == '\0')
      return;
    if (*from == 'u')
      from += add_code_point(text, from + 1);
    else
      text_bytes(text, known != NULL ? &plain[known - escaped] : from, 1);
  }
}

bool report_from_log(const char *path, char *message, size_t size)
{
  char tail[16384];
  cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
  off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  if (end <= 0)
    return false;
  off_t from = end < (off_t)sizeof(tail) ? 0 : end - (off_t)sizeof(tail) + 1;
  ssize_t len = pread(fd, tail, sizeof(tail) - 1, from);
  if (len <= 0)
    return false;
  tail[len] = '\0';
  bool found = false;
  for (char *line = tail, *next; line != NULL; line = next) {
    next = strchr(line, '\n');
    if (next != NULL)
      *next++ = '\0';
    const char *text = strstr(line, "\"msg\":\"");
    bool failed = strstr(line, "\"level\":\"error\"") != NULL || strstr(line, "\"level\":\"fatal\"") != NULL;
    if (text == NULL || !failed)
      continue;
    struct text into = {.at = message, .size = size};
    unquote(&into, text + strlen("\"msg\":\""));
    found = into.len > 0;
  }
  return found;
}

bool report_from_pipe(int fd, char *message, size_t size)
{
  ssize_t len = fd < 0 ? -1 : read(fd, message, size - 1);
  while (len > 0 && (message[len - 1] == '\n' || message[len - 1] == '\r'))
    len--;
  if (len <= 0)
    return false;
  message[len] = '\0';
  return true;
}
