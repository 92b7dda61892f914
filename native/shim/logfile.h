/* The container's log file: whole lines or nothing, whatever the disk does. */
#pragma once

#include "logline.h"

struct log_file {
  /** Absolute path, "" = every line is discarded. */
  const char *path;
  int fd;
  /** Bytes of lines that could not be written. */
  uint64_t lost;
  /** The file ends in part of a line that could not be taken back. */
  bool torn;
};

/** Opens the file for appending (0640, missing directories 0755); one that is open is replaced on success only. */
int log_file_open(struct log_file *log);
void log_file_close(struct log_file *log);
/** A log_sink that writes here. Never fails: what the disk does not take is counted in `lost`. */
struct log_sink log_file_sink(struct log_file *log);
