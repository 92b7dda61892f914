/* What the shim tells the one who started it, and where the runtime's words come from. */
#pragma once

#include "util.h"

enum { REPORT_FD = 3 };

/** `{"pid":N}` on fd 3, which is then closed; -errno where nobody reads it. */
int report_pid(pid_t pid);
/** `{"error":"...","exit":N}` on fd 3, which is then closed. */
void report_error(const char *message, int exit_code);

/** The message of the last error line in a runtime's JSON log (`--log-format json`); false where there is none. */
bool report_from_log(const char *path, char *message, size_t size);
/** What waits in a non-blocking pipe, without the newlines at its end; false where it is empty. */
bool report_from_pipe(int fd, char *message, size_t size);
