/*
 * What travels on shim.sock, a SOCK_STREAM socket in the container's state
 * directory. src/os/shim-protocol.ts lists the same frames in the same order.
 *
 * Every frame, both ways:
 *
 *    0      1               5
 *   +------+---------------+------------- - -
 *   | type | length u32 BE | payload
 *   +------+---------------+------------- - -
 *
 * `length` counts the payload, 65536 at most. Numbers are big-endian. A frame
 * of unknown type, of wrong length for its type or longer than the limit ends
 * that connection and nothing else.
 *
 * Requests, each answered by one frame in the order of the requests, but for
 * STDIN and STDIN_END, which are not answered:
 *
 *   01 HELLO        version u8 (1)                             -> STATE
 *   02 KILL         signal u8, all u8                          -> DONE
 *   03 REOPEN_LOG   -                                          -> DONE
 *   04 RESIZE       width u16, height u16                      -> DONE
 *   05 CLOSE_STDIN  -                                          -> DONE
 *   06 ATTACH       flags u8: 1 stdin, 2 stdout, 4 stderr      -> DONE
 *   07 STDIN        bytes
 *   08 STDIN_END    -
 *
 * From the shim:
 *
 *   81 STATE        container pid u32, shim pid u32,
 *                   state u8: 1 running, 2 exited,
 *                   log bytes lost u64
 *   82 DONE         request type u8, errno u32 (0 = done)
 *   83 STDOUT       bytes
 *   84 STDERR       bytes
 *   85 EXIT         exit code u8, OOM-killed u8, finished at u64 (ns since the epoch)
 *
 * EXIT comes once, after the last STDOUT and STDERR and after the exit record
 * is on the disk; then the shim closes the connection.
 */
#pragma once

enum {
  PROTOCOL_VERSION = 1,
  FRAME_HEAD = 5,
  FRAME_MAX = 65536,
};

enum frame_type {
  FRAME_HELLO = 0x01,
  FRAME_KILL = 0x02,
  FRAME_REOPEN_LOG = 0x03,
  FRAME_RESIZE = 0x04,
  FRAME_CLOSE_STDIN = 0x05,
  FRAME_ATTACH = 0x06,
  FRAME_STDIN = 0x07,
  FRAME_STDIN_END = 0x08,

  FRAME_STATE = 0x81,
  FRAME_DONE = 0x82,
  FRAME_STDOUT = 0x83,
  FRAME_STDERR = 0x84,
  FRAME_EXIT = 0x85,
};

enum {
  ATTACH_STDIN = 1,
  ATTACH_STDOUT = 2,
  ATTACH_STDERR = 4,
};

enum {
  STATE_RUNNING = 1,
  STATE_EXITED = 2,
};
