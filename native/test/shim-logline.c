/* Container output as CRI log lines: byte for byte, for any cutting of the input into reads. */
#include "logfile.h"
#include "report.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* 2024-02-29T23:59:59.000000007Z, counted with date -u -d. */
#define LEAP_DAY (1709251199LL * 1000000000 + 7)
#define HEAD "2024-02-29T23:59:59.000000007Z stdout "

static char output[1 << 22];
static size_t output_len;

static void collect(void *to, const struct log_stream *stream, struct iovec *parts, int count)
{
  (void)to;
  assert(log_starts_line(stream, &parts[0]));
  for (int i = 0; i < count; i++) {
    memcpy(output + output_len, parts[i].iov_base, parts[i].iov_len);
    output_len += parts[i].iov_len;
  }
}

static const struct log_sink sink = {.write = collect};

/* The log of `input`, read `step` bytes at a time, each read in memory of its own so that overruns are seen. */
static void format(const char *input, size_t len, size_t step, long max)
{
  struct log_stream stream;
  output_len = 0;
  log_stream_init(&stream, "stdout", max);
  for (size_t at = 0; at < len; at += step) {
    size_t part = len - at < step ? len - at : step;
    uint8_t *read = malloc(part);
    memcpy(read, input + at, part);
    log_stream_feed(&stream, LEAP_DAY, read, part, sink);
    free(read);
  }
  log_stream_end(&stream, LEAP_DAY, sink);
  log_stream_free(&stream);
  output[output_len] = '\0';
}

static void expect(const char *input, long max, const char *log)
{
  for (size_t step = 1; step <= strlen(input) + 1; step++) {
    format(input, strlen(input), step, max);
    if (strcmp(output, log) != 0) {
      fprintf(stderr, "input read by %zu\n--- wanted\n%s--- got\n%s", step, log, output);
      abort();
    }
  }
}

static void lines(void)
{
  expect("", 8, "");
  expect("\n", 8, HEAD "F \n");
  expect("one\ntwo\n", 8, HEAD "F one\n" HEAD "F two\n");
  expect("one\r\n\r\n", 8, HEAD "F one\n" HEAD "F \n");
  expect("a\rb\n", 8, HEAD "F a\rb\n");
  expect("no end", 8, HEAD "P no end\n");
  expect("no end\r", 8, HEAD "P no end\r\n");
}

static void limits(void)
{
  expect("12345678\n", 8, HEAD "F 12345678\n");
  expect("12345678\r\n", 8, HEAD "F 12345678\n");
  expect("123456789\n", 8, HEAD "P 12345678\n" HEAD "F 9\n");
  expect("1234567812345678\n", 8, HEAD "P 12345678\n" HEAD "F 12345678\n");
  expect("12345678\rx\n", 8, HEAD "P 12345678\n" HEAD "F \rx\n");
  expect("12345678", 8, HEAD "P 12345678\n");
  expect("123456781", 8, HEAD "P 12345678\n" HEAD "P 1\n");
  expect("12345678123\nx\n", 8, HEAD "P 12345678\n" HEAD "F 123\n" HEAD "F x\n");
  expect("abc\n", 1, HEAD "P a\n" HEAD "P b\n" HEAD "F c\n");
}

static void no_limit(void)
{
  static char input[600001];
  memset(input, 'x', sizeof(input) - 1);
  input[sizeof(input) - 2] = '\n';
  format(input, sizeof(input) - 1, 65536, 0);
  assert(output_len == strlen(HEAD "F ") + sizeof(input) - 1);
  assert(memcmp(output, HEAD "F xx", strlen(HEAD) + 4) == 0);
}

/* More lines in one read than one writev takes. */
static void many_lines(void)
{
  static char input[8000];
  memset(input, '\n', sizeof(input));
  format(input, sizeof(input), sizeof(input), 16384);
  assert(output_len == sizeof(input) * strlen(HEAD "F \n"));
}

/* A file that takes only part of a line is left with whole lines, and takes lines again when it can. */
static void torn_line(void)
{
  char path[] = "/tmp/skiff-logline-XXXXXX";
  close(mkstemp(path));
  struct log_file log = {.path = path, .fd = -1};
  assert(log_file_open(&log) == 0);
  struct log_stream stream;
  log_stream_init(&stream, "stdout", 16384);

  /* RLIMIT_FSIZE cuts writes as a full disk does (setrlimit(2)). */
  struct rlimit old, small;
  getrlimit(RLIMIT_FSIZE, &old);
  small = (struct rlimit){.rlim_cur = 2 * strlen(HEAD "F one\n") + 10, .rlim_max = old.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  log_stream_feed(&stream, LEAP_DAY, (const uint8_t *)"one\ntwo\nthree\nfour\n", 19, log_file_sink(&log));
  setrlimit(RLIMIT_FSIZE, &old);
  assert(log.lost == strlen(HEAD "F three\n" HEAD "F four\n"));
  log_stream_feed(&stream, LEAP_DAY, (const uint8_t *)"five\n", 5, log_file_sink(&log));

  char text[1024];
  assert(read_text(AT_FDCWD, path, text, sizeof(text)) > 0);
  assert(strcmp(text, HEAD "F one\n" HEAD "F two\n" HEAD "F five\n") == 0);
  log_stream_free(&stream);
  log_file_close(&log);
  unlink(path);
}

static void runtime_words(void)
{
  char path[] = "/tmp/skiff-report-XXXXXX", message[128];
  int fd = mkstemp(path);
  const char *log = "{\"level\":\"error\",\"msg\":\"first\"}\n"
                    "{\"level\":\"error\",\"msg\":\"exec \\\"\\/x\\\": caf\\u00e9 \\u003e\",\"time\":\"t\"}\n"
                    "{\"level\":\"warning\",\"msg\":\"later\"}\n";
  assert(write_all(fd, log, strlen(log)) == 0);
  assert(report_from_log(path, message, sizeof(message)));
  assert(strcmp(message, "exec \"/x\": caf\xc3\xa9 >") == 0);
  assert(!report_from_log("/nonexistent", message, sizeof(message)));
  close(fd);
  unlink(path);
}

int main(void)
{
  lines();
  limits();
  no_limit();
  many_lines();
  torn_line();
  runtime_words();
  puts("shim-logline: ok");
  return 0;
}
