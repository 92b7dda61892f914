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
	char **list; /* l: strings, NULL ends it */
	int *numbers; /* n: integers, `length` of them */
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

/* wait.c: waitPid(pidfd), which needs the event loop and so has no row. */
napi_value wait_pid(napi_env env, napi_callback_info info);

#endif
