/*
 * Container output as lines of a CRI log, pure: bytes in, iovecs out.
 *
 *   2026-01-02T03:04:05.000000006Z stdout F text\n
 *
 * A line longer than the limit becomes chunks of exactly the limit tagged P
 * and a last chunk tagged F; "\r\n" ends a line as "\n" does. An unterminated
 * line at the end of the stream is tagged P. (containerd
 * internal/cri/io/logger.go; read by kubelet pkg/kubelet/kuberuntime/logs.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
  LOG_HEAD_MAX = 48,
  LOG_IOV_MAX = 1024,
  /* With the limit off, one line still may not take the host's memory. */
  LOG_LINE_CAP = 1 << 20,
};

struct log_stream;

/** Takes whole lines; log_starts_line() finds where each begins. */
struct log_sink {
  void (*write)(void *to, const struct log_stream *stream, struct iovec *parts, int count);
  void *to;
};

struct log_stream {
  const char *name;
  size_t max;
  uint8_t *held;
  size_t held_len;
  size_t held_size;
  char head_full[LOG_HEAD_MAX];
  char head_partial[LOG_HEAD_MAX];
  size_t head_len;
};

/** `max` <= 0 switches the limit off (then LOG_LINE_CAP holds). */
void log_stream_init(struct log_stream *stream, const char *name, long max);
void log_stream_free(struct log_stream *stream);

/** Formats one batch that was read at `time_ns`; what follows the last newline is held. */
void log_stream_feed(struct log_stream *stream, int64_t time_ns, const uint8_t *bytes, size_t len,
                     struct log_sink sink);
/** True for the part with which a line begins. */
bool log_starts_line(const struct log_stream *stream, const struct iovec *part);

/** The end of the stream: what is held goes out as a partial line. */
void log_stream_end(struct log_stream *stream, int64_t time_ns, struct log_sink sink);
