#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool throw_type(napi_env env, const struct call *call, size_t number, const char *wanted)
{
	char message[128];
	snprintf(message, sizeof message, "%s: argument %zu must be %s", call->binding->name, number + 1, wanted);
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
	return false;
}

static bool is_type(napi_env env, napi_value value, napi_valuetype wanted)
{
	napi_valuetype type;
	return napi_typeof(env, value, &type) == napi_ok && type == wanted;
}

static char *copy_bytes(const void *data, size_t length)
{
	char *copy = malloc(length + 1);
	if (copy == NULL)
		return NULL;
	memcpy(copy, data, length);
	copy[length] = '\0';
	return copy;
}

/* The bytes of a string (UTF-8) or Buffer, NULL for anything else. */
static char *read_text(napi_env env, napi_value value, size_t *length)
{
	bool buffer = false;
	napi_is_buffer(env, value, &buffer);
	if (buffer) {
		void *data;
		napi_get_buffer_info(env, value, &data, length);
		return copy_bytes(data, *length);
	}
	if (napi_get_value_string_utf8(env, value, NULL, 0, length) != napi_ok)
		return NULL;
	char *text = malloc(*length + 1);
	if (text != NULL)
		napi_get_value_string_utf8(env, value, text, *length + 1, length);
	return text;
}

/* A NUL would end the path early, at a file that the caller did not name. */
static bool holds_nul(const char *text, size_t length)
{
	return memchr(text, '\0', length) != NULL;
}

static bool read_list(napi_env env, napi_value array, struct value *value)
{
	bool is_array = false;
	uint32_t length = 0;
	napi_is_array(env, array, &is_array);
	if (!is_array || napi_get_array_length(env, array, &length) != napi_ok)
		return false;
	value->length = length;
	value->list = calloc(length + 1, sizeof *value->list);
	if (value->list == NULL)
		return false;
	for (uint32_t i = 0; i < length; i++) {
		napi_value element;
		size_t size = 0;
		napi_get_element(env, array, i, &element);
		value->list[i] = read_text(env, element, &size);
		if (value->list[i] == NULL || holds_nul(value->list[i], size))
			return false;
	}
	return true;
}

static bool read_numbers(napi_env env, napi_value array, struct value *value)
{
	bool is_array = false;
	uint32_t length = 0;
	napi_is_array(env, array, &is_array);
	if (!is_array || napi_get_array_length(env, array, &length) != napi_ok)
		return false;
	value->length = length;
	value->numbers = calloc(length + 1, sizeof *value->numbers);
	if (value->numbers == NULL)
		return false;
	for (uint32_t i = 0; i < length; i++) {
		napi_value element;
		napi_get_element(env, array, i, &element);
		if (napi_get_value_int32(env, element, &value->numbers[i]) != napi_ok)
			return false;
	}
	return true;
}

static bool read_view(napi_env env, napi_value from, struct value *value)
{
	bool buffer = false;
	napi_is_buffer(env, from, &buffer);
	return buffer && napi_get_buffer_info(env, from, &value->view, &value->length) == napi_ok;
}

static bool read_argument(napi_env env, const struct call *call, char letter, napi_value from, struct value *value,
			  size_t number)
{
	bool flag = false;
	switch (letter) {
	case 'i':
		if (napi_get_value_int64(env, from, &value->number) != napi_ok)
			return throw_type(env, call, number, "an integer");
		return true;
	case 'b':
		if (napi_get_value_bool(env, from, &flag) != napi_ok)
			return throw_type(env, call, number, "a boolean");
		value->number = flag;
		return true;
	case 's':
		value->text = read_text(env, from, &value->length);
		if (value->text == NULL || holds_nul(value->text, value->length))
			return throw_type(env, call, number, "a string or Buffer without NUL");
		return true;
	case 'x':
		value->text = read_text(env, from, &value->length);
		return value->text != NULL || throw_type(env, call, number, "a string or Buffer");
	case 'v':
		return read_view(env, from, value) || throw_type(env, call, number, "a Buffer");
	case 'e':
		if (!is_type(env, from, napi_external) || napi_get_value_external(env, from, &value->view) != napi_ok)
			return throw_type(env, call, number, "what another call has made");
		return true;
	case 'l':
		return read_list(env, from, value) || throw_type(env, call, number, "an array of strings without NUL");
	default:
		return read_numbers(env, from, value) || throw_type(env, call, number, "an array of integers");
	}
}

static bool read_arguments(napi_env env, struct call *call, const napi_value *values)
{
	size_t number = 0;
	for (const char *letter = call->binding->signature; *letter != '\0'; letter++, number++) {
		bool nullable = letter[1] == '?';
		bool null = nullable && is_type(env, values[number], napi_null);
		if (!null && !read_argument(env, call, *letter, values[number], &call->in[number], number))
			return false;
		letter += nullable;
	}
	return true;
}

static void free_call(struct call *call)
{
	for (size_t i = 0; i < CALL_ARGUMENTS_MAX; i++) {
		free(call->in[i].text);
		free(call->in[i].numbers);
		for (char **text = call->in[i].list; text != NULL && *text != NULL; text++)
			free(*text);
		free(call->in[i].list);
	}
	free(call->data);
	free(call);
}

napi_value call_error(napi_env env, const char *name, const char *subject, int status)
{
	char text[4352];
	snprintf(text, sizeof text, "%s%s%s: %s", name, subject != NULL && *subject != '\0' ? " " : "",
		 subject != NULL ? subject : "", strerrordesc_np(-status));
	napi_value error, message, code, syscall, number;
	napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
	napi_create_string_utf8(env, strerrorname_np(-status), NAPI_AUTO_LENGTH, &code);
	napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &syscall);
	napi_create_int32(env, status, &number);
	napi_create_error(env, code, message, &error);
	napi_set_named_property(env, error, "syscall", syscall);
	napi_set_named_property(env, error, "errno", number);
	return error;
}

static napi_value error_of(napi_env env, const struct call *call)
{
	const char *subject = call->subject;
	if (subject == NULL && call->binding->subject >= 0)
		subject = call->in[call->binding->subject].text;
	return call_error(env, call->binding->name, subject, call->status);
}

static napi_value result_of(napi_env env, const struct call *call)
{
	if (call->binding->result != NULL)
		return call->binding->result(env, call);
	napi_value undefined;
	napi_get_undefined(env, &undefined);
	return undefined;
}

static void execute(napi_env env, void *data)
{
	(void)env;
	struct call *call = data;
	call->status = call->binding->run(call);
}

static void complete(napi_env env, napi_status status, void *data)
{
	struct call *call = data;
	if (status == napi_cancelled)
		call->status = -ECANCELED;
	if (call->status < 0)
		napi_reject_deferred(env, call->deferred, error_of(env, call));
	else
		napi_resolve_deferred(env, call->deferred, result_of(env, call));
	napi_delete_async_work(env, call->work);
	free_call(call);
}

static napi_value start(napi_env env, struct call *call)
{
	napi_value promise, name;
	napi_create_promise(env, &call->deferred, &promise);
	napi_create_string_utf8(env, call->binding->name, NAPI_AUTO_LENGTH, &name);
	napi_create_async_work(env, NULL, name, execute, complete, call, &call->work);
	napi_queue_async_work(env, call->work);
	return promise;
}

static napi_value run_now(napi_env env, struct call *call)
{
	napi_value result = NULL;
	call->status = call->binding->run(call);
	if (call->status < 0)
		napi_throw(env, error_of(env, call));
	else
		result = result_of(env, call);
	free_call(call);
	return result;
}

static napi_value enter(napi_env env, napi_callback_info info)
{
	napi_value values[CALL_ARGUMENTS_MAX];
	size_t count = CALL_ARGUMENTS_MAX;
	void *row;
	napi_get_cb_info(env, info, &count, values, NULL, &row);
	struct call *call = calloc(1, sizeof *call);
	if (call == NULL) {
		napi_throw(env, call_error(env, "call", NULL, -ENOMEM));
		return NULL;
	}
	call->binding = row;
	if (!read_arguments(env, call, values)) {
		free_call(call);
		return NULL;
	}
	return call->binding->async ? start(env, call) : run_now(env, call);
}

bool call_define(napi_env env, napi_value exports, const struct binding *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		napi_value function;
		if (napi_create_function(env, rows[i].name, NAPI_AUTO_LENGTH, enter, (void *)&rows[i], &function) != napi_ok ||
		    napi_set_named_property(env, exports, rows[i].name, function) != napi_ok)
			return false;
	}
	return true;
}

napi_value value_number(napi_env env, double number)
{
	napi_value value;
	napi_create_double(env, number, &value);
	return value;
}

napi_value value_object(napi_env env, size_t count, const char *const *names, const double *numbers)
{
	napi_value object;
	napi_create_object(env, &object);
	for (size_t i = 0; i < count; i++)
		napi_set_named_property(env, object, names[i], value_number(env, numbers[i]));
	return object;
}
