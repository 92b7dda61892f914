/*
 * Small things that every file of the shim uses.
 *
 * One error convention: a function that can fail returns 0 or more on success
 * and -errno on failure. What it acquired before the failure is released by
 * the cleanup attributes; ownership leaves a function through take_fd().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define cleanup_close __attribute__((cleanup(close_at)))
#define cleanup_free __attribute__((cleanup(free_at)))

static inline void close_at(int *fd)
{
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

static inline void free_at(void *pointer)
{
  free(*(void **)pointer);
}

/** Hands an fd over to the caller: cleanup_close finds -1 afterwards. */
static inline int take_fd(int *fd)
{
  int taken = *fd;
  *fd = -1;
  return taken;
}

/** Text under construction in a fixed buffer; what does not fit is left out, the end is always NUL. */
struct text {
  char *at;
  size_t size;
  size_t len;
};

#define TEXT(buffer) ((struct text){.at = (buffer), .size = sizeof(buffer)})

void text_add(struct text *text, const char *string);
void text_bytes(struct text *text, const char *bytes, size_t len);
void text_number(struct text *text, int64_t number);
/** A JSON string with its quotes. */
void text_json(struct text *text, const char *string);

/** The whole of a small file, NUL-terminated; its length. Longer files are cut. */
ssize_t read_text(int dirfd, const char *path, char *buffer, size_t size);
/** Writes an existing file (procfs, cgroupfs) in one write. */
int write_text(int dirfd, const char *path, const char *string);
int write_all(int fd, const void *bytes, size_t len);
/** Makes the missing directories above the file `path`, 0755. */
int make_parents(const char *path);
int set_nonblocking(int fd);

/** The parent of `pid`, -ENOENT where there is no such process; *state gets 'R', 'S', 'Z' ... */
pid_t parent_of(pid_t pid, char *state);

/** Monotonic clock, milliseconds. */
int64_t now_ms(void);
/** Real-time clock, nanoseconds since the epoch. */
int64_t realtime_ns(void);
