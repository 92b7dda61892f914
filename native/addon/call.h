/*
 * One call from JavaScript into sys/, driven by a row of the table in binding.c:
 * the signature says how each argument is read, `run` calls sys/, `result` makes
 * the JavaScript value. A negative status throws (or rejects) one kind of Error:
 * `code` is the errno's name, `syscall` the row's name, the message
 * "<name> <subject>: <text of the errno>".
 */
#ifndef SKIFF_CALL_H
#define SKIFF_CALL_H

#include "../sys/sys.h"

#include <node_api.h>

enum { CALL_ARGUMENTS_MAX = 11 };

/* One argument, by its letter in the signature; `?` after a letter allows null. */
struct value {
	int64_t number; /* i: an integer, b: a boolean */
	char *text;     /* s: string or Buffer without NUL; x: Buffer, `length` bytes */
	size_t length;
	void *view; /* v: a Buffer's own bytes, `length` of them, which the caller keeps alive; e: an external */
	char **list; /* l: strings, NULL ends it */
	int *numbers; /* n: integers, `length` of them */
};

struct decoder;

/* One run of a decoder: what it was given, and how far it came. */
struct decoded {
	const void *in;
	size_t in_length;
	void *out;
	size_t out_length;
	size_t consumed;
	size_t produced;
	bool ended; /* not within a gzip member or zstd frame */
};

struct call {
	const struct binding *binding;
	struct value in[CALL_ARGUMENTS_MAX];
	int status;
	const char *subject; /* NULL: the argument that the row names */
	union {
		struct stat stat;
		struct spawned spawned;
		struct disk_usage usage;
		struct decoder *decoder;
		struct decoded decoded;
	} out;
	void *data; /* result on the heap, with its size or count; freed after `result` */
	size_t length;
	napi_deferred deferred;
	napi_async_work work;
};

struct binding {
	const char *name;
	const char *signature;
	int subject; /* number of the argument that an error names, -1: none */
	bool async;
	int (*run)(struct call *call);
	napi_value (*result)(napi_env env, const struct call *call);
};

/* Defines one function per row on `exports`. Each row must live as long as the process. */
bool call_define(napi_env env, napi_value exports, const struct binding *rows, size_t count);

/* The Error for a negative status. */
napi_value call_error(napi_env env, const char *name, const char *subject, int status);

/* Values that rows answer with. */
napi_value value_number(napi_env env, double number);
napi_value value_object(napi_env env, size_t count, const char *const *names, const double *numbers);

/* decoder.c: gzip (of one or more members) and zstd (of one or more frames). -EBADMSG: damaged data. */
int decoder_open(bool zstd, struct decoder **opened);
int decoder_run(struct decoder *decoder, struct decoded *result);
/* Gives back its memory (a zstd frame may want 128 MiB); a run after that is -EBADF. */
void decoder_close(struct decoder *decoder);
void decoder_free(struct decoder *decoder);

/* wait.c: waitPid(pidfd), which needs the event loop and so has no row. */
napi_value wait_pid(napi_env env, napi_callback_info info);

#endif
