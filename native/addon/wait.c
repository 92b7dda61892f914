/*
 * waitPid: a pidfd turns readable when its process ends, so the event loop
 * itself waits for any number of children and no thread is held for one.
 */
#include "call.h"

#include <errno.h>
#include <uv.h>

struct wait {
	uv_poll_t poll; /* first: libuv hands out its address */
	napi_env env;
	int pidfd;
	napi_deferred deferred;
	napi_async_context context;
	napi_ref resource;
	napi_async_cleanup_hook_handle hook;
};

static napi_value status_value(napi_env env, int number)
{
	napi_value value;
	if (number < 0)
		napi_get_null(env, &value);
	else
		napi_create_int32(env, number, &value);
	return value;
}

static void settle(struct wait *wait, int status, const struct exit_status *exit)
{
	napi_env env = wait->env;
	if (status < 0) {
		napi_reject_deferred(env, wait->deferred, call_error(env, "waitPid", NULL, status));
		return;
	}
	napi_value result;
	napi_create_object(env, &result);
	napi_set_named_property(env, result, "code", status_value(env, exit->code));
	napi_set_named_property(env, result, "signal", status_value(env, exit->signal));
	napi_resolve_deferred(env, wait->deferred, result);
}

static void closed(uv_handle_t *handle)
{
	struct wait *wait = (struct wait *)handle;
	napi_remove_async_cleanup_hook(wait->hook);
	free(wait);
}

static void readable(uv_poll_t *poll, int status, int events)
{
	(void)events;
	struct wait *wait = (struct wait *)poll;
	struct exit_status exit = { -1, -1 };
	int reaped = status < 0 ? status : sys_reap(wait->pidfd, &exit);
	if (reaped == -EAGAIN)
		return;
	uv_poll_stop(poll);
	napi_handle_scope handles;
	napi_callback_scope callback;
	napi_value resource;
	napi_open_handle_scope(wait->env, &handles);
	napi_get_reference_value(wait->env, wait->resource, &resource);
	/* Leaving this scope runs the continuations of the promise. */
	napi_open_callback_scope(wait->env, resource, wait->context, &callback);
	settle(wait, reaped, &exit);
	napi_close_callback_scope(wait->env, callback);
	napi_async_destroy(wait->env, wait->context);
	napi_delete_reference(wait->env, wait->resource);
	napi_close_handle_scope(wait->env, handles);
	uv_close((uv_handle_t *)poll, closed);
}

/* The environment ends (a worker stops) while a child still runs. */
static void abandon(napi_async_cleanup_hook_handle hook, void *data)
{
	(void)hook;
	struct wait *wait = data;
	if (!uv_is_closing((uv_handle_t *)&wait->poll))
		uv_close((uv_handle_t *)&wait->poll, closed);
}

static napi_value watch(napi_env env, struct wait *wait)
{
	napi_value promise, resource, name;
	napi_create_object(env, &resource);
	napi_create_string_utf8(env, "waitPid", NAPI_AUTO_LENGTH, &name);
	napi_create_reference(env, resource, 1, &wait->resource);
	napi_async_init(env, resource, name, &wait->context);
	napi_add_async_cleanup_hook(env, abandon, wait, &wait->hook);
	napi_create_promise(env, &wait->deferred, &promise);
	uv_poll_start(&wait->poll, UV_READABLE, readable);
	return promise;
}

napi_value wait_pid(napi_env env, napi_callback_info info)
{
	napi_value argument;
	size_t count = 1;
	int pidfd;
	napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
	if (napi_get_value_int32(env, argument, &pidfd) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "waitPid: argument 1 must be an integer");
		return NULL;
	}
	uv_loop_t *loop;
	struct wait *wait = calloc(1, sizeof *wait);
	int status = wait == NULL ? -ENOMEM : 0;
	if (status == 0) {
		wait->env = env;
		wait->pidfd = pidfd;
		napi_get_uv_event_loop(env, &loop);
		status = uv_poll_init(loop, &wait->poll, pidfd);
	}
	if (status < 0) {
		napi_throw(env, call_error(env, "waitPid", NULL, status));
		free(wait);
		return NULL;
	}
	return watch(env, wait);
}
