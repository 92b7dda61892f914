#include "logline.h"

#include <stdlib.h>
#include <string.h>

/* One batch under way: `bytes` continue what the stream holds. */
struct batch {
  struct log_stream *stream;
  struct log_sink sink;
  const uint8_t *bytes;
  int count;
};

/* Shared by all streams: a batch never outlives the call that made it. */
static struct iovec parts[LOG_IOV_MAX];

static char *put_digits(char *at, int64_t number, int width)
{
  for (int i = width - 1; i >= 0; i--) {
    at[i] = (char)('0' + number % 10);
    number /= 10;
  }
  return at + width;
}

/* Days since 1970-01-01 as year, month, day of the Gregorian calendar, counted in 400-year eras from 0000-03-01. */
static void civil_date(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
  int64_t shifted = days + 719468;
  int64_t era = shifted / 146097;
  int64_t day_of_era = shifted % 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t from_march = (5 * day_of_year + 2) / 153;
  *day = day_of_year - (153 * from_march + 2) / 5 + 1;
  *month = from_march < 10 ? from_march + 3 : from_march - 9;
  *year = year_of_era + era * 400 + (*month <= 2);
}

static char *put_time(char *at, int64_t time_ns)
{
  int64_t seconds = time_ns / 1000000000;
  int64_t year, month, day;
  civil_date(seconds / 86400, &year, &month, &day);
  const struct { int64_t value; int width; char after; } fields[] = {
    {year, 4, '-'}, {month, 2, '-'}, {day, 2, 'T'}, {seconds % 86400 / 3600, 2, ':'},
    {seconds % 3600 / 60, 2, ':'}, {seconds % 60, 2, '.'}, {time_ns % 1000000000, 9, 'Z'},
  };
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
    at = put_digits(at, fields[i].value, fields[i].width);
    *at++ = fields[i].after;
  }
  return at;
}

static void put_heads(struct log_stream *stream, int64_t time_ns)
{
  char *at = put_time(stream->head_full, time_ns);
  *at++ = ' ';
  size_t name_len = strlen(stream->name);
  memcpy(at, stream->name, name_len);
  at += name_len;
  memcpy(at, " F ", 3);
  stream->head_len = (size_t)(at + 3 - stream->head_full);
  memcpy(stream->head_partial, stream->head_full, stream->head_len);
  stream->head_partial[stream->head_len - 2] = 'P';
}

static void flush(struct batch *batch)
{
  if (batch->count > 0)
    batch->sink.write(batch->sink.to, batch->stream, parts, batch->count);
  batch->count = 0;
}

static void add_part(struct batch *batch, const void *base, size_t len)
{
  if (len > 0)
    parts[batch->count++] = (struct iovec){.iov_base = (void *)base, .iov_len = len};
}

/* One log line out of the bytes [from, to) of what is held followed by the batch. */
static void emit(struct batch *batch, char *head, size_t from, size_t to)
{
  struct log_stream *stream = batch->stream;
  size_t held = stream->held_len;
  if (batch->count + 4 > LOG_IOV_MAX)
    flush(batch);
  add_part(batch, head, stream->head_len);
  if (from < held)
    add_part(batch, stream->held + from, (to < held ? to : held) - from);
  size_t start = from < held ? 0 : from - held;
  /* Where the input's own newline follows, it serves the log too: one iovec less per line. */
  bool ended = to > held && batch->bytes[to - held] == '\n';
  if (to > held)
    add_part(batch, batch->bytes + start, to - held - start + ended);
  if (!ended)
    add_part(batch, "\n", 1);
}

static uint8_t byte_at(const struct batch *batch, size_t at)
{
  size_t held = batch->stream->held_len;
  return at < held ? batch->stream->held[at] : batch->bytes[at - held];
}

/* Chunks of the limit while more than that is there; where the rest begins. */
static size_t emit_partials(struct batch *batch, size_t total)
{
  size_t from = 0;
  for (; total - from > batch->stream->max; from += batch->stream->max)
    emit(batch, batch->stream->head_partial, from, from + batch->stream->max);
  return from;
}

static void emit_line(struct batch *batch, size_t len)
{
  size_t total = batch->stream->held_len + len;
  if (total > 0 && byte_at(batch, total - 1) == '\r')
    total--;
  size_t from = emit_partials(batch, total);
  emit(batch, batch->stream->head_full, from, total);
}

static bool hold_room(struct log_stream *stream, size_t size)
{
  if (size <= stream->held_size)
    return true;
  size_t larger = stream->held_size == 0 ? 512 : stream->held_size;
  while (larger < size)
    larger *= 2;
  uint8_t *held = realloc(stream->held, larger);
  if (held == NULL)
    return false;
  stream->held = held;
  stream->held_size = larger;
  return true;
}

/* Keeps the rest of the batch, `len` bytes without a newline, for the next one. */
static void hold(struct batch *batch, size_t len)
{
  struct log_stream *stream = batch->stream;
  size_t total = stream->held_len + len;
  if (total == 0)
    return;
  /* A carriage return at the end may belong to the newline that comes next: it does not count yet. */
  size_t from = emit_partials(batch, total - (byte_at(batch, total - 1) == '\r'));
  flush(batch);
  size_t held_kept = from < stream->held_len ? stream->held_len - from : 0;
  size_t skip = from > stream->held_len ? from - stream->held_len : 0;
  if (held_kept > 0)
    memmove(stream->held, stream->held + stream->held_len - held_kept, held_kept);
  stream->held_len = held_kept;
  if (!hold_room(stream, held_kept + len - skip))
    return;
  memcpy(stream->held + held_kept, batch->bytes + skip, len - skip);
  stream->held_len += len - skip;
}

static void release_held(struct log_stream *stream)
{
  stream->held_len = 0;
  if (stream->held_size > 65536) {
    free(stream->held);
    stream->held = NULL;
    stream->held_size = 0;
  }
}

void log_stream_init(struct log_stream *stream, const char *name, long max)
{
  *stream = (struct log_stream){.name = name, .max = max > 0 ? (size_t)max : LOG_LINE_CAP};
}

void log_stream_free(struct log_stream *stream)
{
  free(stream->held);
  *stream = (struct log_stream){0};
}

void log_stream_feed(struct log_stream *stream, int64_t time_ns, const uint8_t *bytes, size_t len,
                     struct log_sink sink)
{
  struct batch batch = {.stream = stream, .sink = sink, .bytes = bytes};
  put_heads(stream, time_ns);
  for (;;) {
    const uint8_t *newline = memchr(batch.bytes, '\n', len);
    if (newline == NULL)
      break;
    size_t line = (size_t)(newline - batch.bytes);
    bool used_held = stream->held_len > 0;
    emit_line(&batch, line);
    batch.bytes += line + 1;
    len -= line + 1;
    if (used_held) {
      flush(&batch);
      release_held(stream);
    }
  }
  hold(&batch, len);
  flush(&batch);
}

bool log_starts_line(const struct log_stream *stream, const struct iovec *part)
{
  return part->iov_base == stream->head_full || part->iov_base == stream->head_partial;
}

void log_stream_end(struct log_stream *stream, int64_t time_ns, struct log_sink sink)
{
  struct batch batch = {.stream = stream, .sink = sink, .bytes = NULL};
  if (stream->held_len == 0)
    return;
  put_heads(stream, time_ns);
  size_t from = emit_partials(&batch, stream->held_len);
  emit(&batch, stream->head_partial, from, stream->held_len);
  flush(&batch);
  release_held(stream);
}
