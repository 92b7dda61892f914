/*
 * The table of native functions, in the order of src/os/native.ts: review the
 * two side by side. Nothing is decided here; sys/ does the work.
 */
#include "call.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define NUMBER(i) (call->in[i].number)
#define TEXT(i) (call->in[i].text)
#define VIEW(i) (call->in[i].view)

static int run_openat2(struct call *call)
{
	return sys_openat2(NUMBER(0), TEXT(1), NUMBER(2), NUMBER(3), NUMBER(4));
}

static int run_mkdirat(struct call *call)
{
	return sys_mkdirat(NUMBER(0), TEXT(1), NUMBER(2));
}

static int run_mknodat(struct call *call)
{
	return sys_mknodat(NUMBER(0), TEXT(1), NUMBER(2), NUMBER(3), NUMBER(4));
}

static int run_symlinkat(struct call *call)
{
	return sys_symlinkat(TEXT(0), NUMBER(1), TEXT(2));
}

static int run_linkat(struct call *call)
{
	return sys_linkat(NUMBER(0), TEXT(1), NUMBER(2), TEXT(3), NUMBER(4));
}

static int run_unlinkat(struct call *call)
{
	return sys_unlinkat(NUMBER(0), TEXT(1), NUMBER(2));
}

static int run_renameat2(struct call *call)
{
	return sys_renameat2(NUMBER(0), TEXT(1), NUMBER(2), TEXT(3), NUMBER(4));
}

static int run_fchownat(struct call *call)
{
	return sys_fchownat(NUMBER(0), TEXT(1), NUMBER(2), NUMBER(3), NUMBER(4));
}

static int run_fchmodat(struct call *call)
{
	return sys_fchmodat(NUMBER(0), TEXT(1), NUMBER(2));
}

static int run_utimensat(struct call *call)
{
	const struct timespec times[2] = { { NUMBER(2), NUMBER(3) }, { NUMBER(4), NUMBER(5) } };
	return sys_utimensat(NUMBER(0), TEXT(1), times, NUMBER(6));
}

static int run_fstatat(struct call *call)
{
	return sys_fstatat(NUMBER(0), TEXT(1), NUMBER(2), &call->out.stat);
}

static int run_setxattrat(struct call *call)
{
	return sys_setxattrat(NUMBER(0), TEXT(1), TEXT(2), TEXT(3), call->in[3].length);
}

static int run_getxattrat(struct call *call)
{
	return sys_getxattrat(NUMBER(0), TEXT(1), TEXT(2), (char **)&call->data, &call->length);
}

static int run_listxattrat(struct call *call)
{
	return sys_listxattrat(NUMBER(0), TEXT(1), (char **)&call->data, &call->length);
}

static int run_close(struct call *call)
{
	return sys_close(NUMBER(0));
}

static int run_set_cloexec(struct call *call)
{
	return sys_set_cloexec(NUMBER(0));
}

static int run_flock(struct call *call)
{
	return sys_flock(TEXT(0));
}

static int run_pidfd_open(struct call *call)
{
	return sys_pidfd_open(NUMBER(0));
}

static int run_pidfd_send_signal(struct call *call)
{
	return sys_pidfd_send_signal(NUMBER(0), NUMBER(1));
}

static int run_spawn(struct call *call)
{
	const struct spawn spawn = {
		.file = TEXT(0),
		.argv = call->in[1].list,
		.envp = call->in[2].list,
		.cwd = TEXT(3),
		.stdio = call->in[4].numbers,
		.stdio_count = call->in[4].length,
		.setsid = NUMBER(5),
		.netns = TEXT(6),
		.die_with_parent = NUMBER(7),
	};
	return sys_spawn(&spawn, &call->out.spawned, &call->subject);
}

static int run_mount(struct call *call)
{
	return sys_mount(TEXT(0), TEXT(1), TEXT(2), NUMBER(3), TEXT(4));
}

static int run_umount(struct call *call)
{
	return sys_umount(TEXT(0), NUMBER(1));
}

static int run_overlay_mount(struct call *call)
{
	const struct overlay overlay = {
		.lowers = call->in[0].list,
		.upper = TEXT(1),
		.work = TEXT(2),
		.target = TEXT(3),
		.options = call->in[4].list,
		.legacy = NUMBER(5),
	};
	return sys_overlay_mount(&overlay, &call->subject);
}

static int run_syncfs(struct call *call)
{
	return sys_syncfs(TEXT(0));
}

static int run_kill_tree(struct call *call)
{
	return sys_kill_tree(NUMBER(0));
}

static int run_pin_namespaces(struct call *call)
{
	const struct pin pin = {
		.net = TEXT(0),
		.ipc = TEXT(1),
		.uts = TEXT(2),
		.hostname = TEXT(3),
		.sysctls = call->in[4].list,
	};
	return sys_pin_namespaces(&pin, &call->subject);
}

static int run_netns_interfaces(struct call *call)
{
	return sys_netns_interfaces(TEXT(0), (struct netns_interface **)&call->data);
}

static int run_dial_tcp(struct call *call)
{
	return sys_dial_tcp(TEXT(0), TEXT(1), NUMBER(2));
}

static int run_remove_tree(struct call *call)
{
	return sys_remove_tree(TEXT(0));
}

static int run_disk_usage(struct call *call)
{
	return sys_disk_usage(TEXT(0), &call->out.usage);
}

static int run_put_file(struct call *call)
{
	const struct put_file file = {
		.data = VIEW(2),
		.length = call->in[2].length,
		.mode = NUMBER(3),
		.uid = NUMBER(4),
		.gid = NUMBER(5),
		.times = { { NUMBER(6), NUMBER(7) }, { NUMBER(8), NUMBER(9) } },
	};
	return sys_put_file(NUMBER(0), TEXT(1), &file);
}

static int run_decoder_open(struct call *call)
{
	struct decoder *decoder = NULL;
	int status = decoder_open(NUMBER(0), &decoder);
	call->out.decoder = decoder;
	return status;
}

static int run_decode(struct call *call)
{
	call->out.decoded = (struct decoded){
		.in = VIEW(1),
		.in_length = call->in[1].length,
		.out = VIEW(2),
		.out_length = call->in[2].length,
	};
	return decoder_run(VIEW(0), &call->out.decoded);
}

static int run_decoder_close(struct call *call)
{
	decoder_close(VIEW(0));
	return 0;
}

static napi_value result_number(napi_env env, const struct call *call)
{
	return value_number(env, call->status);
}

static napi_value result_stat(napi_env env, const struct call *call)
{
	static const char *const names[] = { "mode", "uid", "gid", "size", "ino", "dev", "nlink", "mtimeSec", "mtimeNsec",
					     "rdevMajor", "rdevMinor", "blocks" };
	const struct stat *stat = &call->out.stat;
	const double numbers[] = {
		stat->st_mode, stat->st_uid, stat->st_gid, stat->st_size, stat->st_ino, stat->st_dev, stat->st_nlink,
		stat->st_mtim.tv_sec, stat->st_mtim.tv_nsec, major(stat->st_rdev), minor(stat->st_rdev), stat->st_blocks,
	};
	return value_object(env, sizeof numbers / sizeof *numbers, names, numbers);
}

static napi_value result_bytes(napi_env env, const struct call *call)
{
	napi_value buffer;
	napi_create_buffer_copy(env, call->length, call->data, NULL, &buffer);
	return buffer;
}

static napi_value result_names(napi_env env, const struct call *call)
{
	const char *const end = (const char *)call->data + call->length;
	uint32_t count = 0;
	napi_value names, name;
	napi_create_array(env, &names);
	for (const char *from = call->data; from < end; from += strlen(from) + 1) {
		napi_create_string_utf8(env, from, NAPI_AUTO_LENGTH, &name);
		napi_set_element(env, names, count++, name);
	}
	return names;
}

static napi_value result_spawned(napi_env env, const struct call *call)
{
	static const char *const names[] = { "pid", "pidfd" };
	const struct spawned *spawned = &call->out.spawned;
	const double numbers[] = { spawned->pid, spawned->pidfd };
	napi_value object = value_object(env, 2, names, numbers);
	napi_value fds, fd;
	napi_create_array(env, &fds);
	for (size_t i = 0; i < spawned->count; i++) {
		napi_get_null(env, &fd);
		napi_set_element(env, fds, i, spawned->fds[i] < 0 ? fd : value_number(env, spawned->fds[i]));
	}
	napi_set_named_property(env, object, "fds", fds);
	return object;
}

static void set_counter(napi_env env, napi_value object, const char *name, uint64_t count)
{
	char digits[24];
	napi_value text;
	/* As text: a double holds 53 bits of it. */
	snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
	napi_create_string_utf8(env, digits, NAPI_AUTO_LENGTH, &text);
	napi_set_named_property(env, object, name, text);
}

static napi_value result_interfaces(napi_env env, const struct call *call)
{
	const struct netns_interface *interfaces = call->data;
	napi_value array, object, value;
	napi_create_array(env, &array);
	for (int i = 0; i < call->status; i++) {
		napi_create_object(env, &object);
		napi_create_string_utf8(env, interfaces[i].name, NAPI_AUTO_LENGTH, &value);
		napi_set_named_property(env, object, "name", value);
		set_counter(env, object, "rxBytes", interfaces[i].rx_bytes);
		set_counter(env, object, "rxErrors", interfaces[i].rx_errors);
		set_counter(env, object, "txBytes", interfaces[i].tx_bytes);
		set_counter(env, object, "txErrors", interfaces[i].tx_errors);
		napi_get_boolean(env, interfaces[i].up, &value);
		napi_set_named_property(env, object, "up", value);
		napi_set_element(env, array, i, object);
	}
	return array;
}

static napi_value result_usage(napi_env env, const struct call *call)
{
	static const char *const names[] = { "bytes", "inodes" };
	const double numbers[] = { call->out.usage.bytes, call->out.usage.inodes };
	return value_object(env, 2, names, numbers);
}

static void finalize_decoder(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	decoder_free(data);
}

static napi_value result_decoder(napi_env env, const struct call *call)
{
	napi_value external;
	napi_create_external(env, call->out.decoder, finalize_decoder, NULL, &external);
	return external;
}

static napi_value result_decoded(napi_env env, const struct call *call)
{
	static const char *const names[] = { "consumed", "produced" };
	const struct decoded *decoded = &call->out.decoded;
	const double numbers[] = { decoded->consumed, decoded->produced };
	napi_value object = value_object(env, 2, names, numbers), ended;
	napi_get_boolean(env, decoded->ended, &ended);
	napi_set_named_property(env, object, "ended", ended);
	return object;
}

/* name, signature (call.h), argument that an error names, off the loop, function, result */
static const struct binding BINDINGS[] = {
	{ "openat2", "isiii", 1, false, run_openat2, result_number },
	{ "mkdirat", "isi", 1, false, run_mkdirat, NULL },
	{ "mknodat", "isiii", 1, false, run_mknodat, NULL },
	{ "symlinkat", "sis", 2, false, run_symlinkat, NULL },
	{ "linkat", "isisi", 3, false, run_linkat, NULL },
	{ "unlinkat", "isi", 1, false, run_unlinkat, NULL },
	{ "renameat2", "isisi", 3, false, run_renameat2, NULL },
	{ "fchownat", "isiii", 1, false, run_fchownat, NULL },
	{ "fchmodat", "isi", 1, false, run_fchmodat, NULL },
	{ "utimensat", "isiiiii", 1, false, run_utimensat, NULL },
	{ "fstatat", "isi", 1, false, run_fstatat, result_stat },
	{ "setxattrat", "issx", 1, false, run_setxattrat, NULL },
	{ "getxattrat", "iss", 1, false, run_getxattrat, result_bytes },
	{ "listxattrat", "is", 1, false, run_listxattrat, result_names },
	{ "close", "i", -1, false, run_close, NULL },
	{ "setCloexec", "i", -1, false, run_set_cloexec, NULL },
	{ "flock", "s", 0, false, run_flock, result_number },
	{ "pidfdOpen", "i", -1, false, run_pidfd_open, result_number },
	{ "pidfdSendSignal", "ii", -1, false, run_pidfd_send_signal, NULL },
	{ "spawn", "slls?nbs?b", 0, false, run_spawn, result_spawned },
	{ "mount", "s?ss?is?", 1, true, run_mount, NULL },
	{ "umount", "si", 0, true, run_umount, NULL },
	{ "overlayMount", "ls?s?slb", 3, true, run_overlay_mount, NULL },
	{ "syncfs", "s", 0, true, run_syncfs, NULL },
	{ "killTree", "i", -1, true, run_kill_tree, result_number },
	{ "pinNamespaces", "s?s?s?sl", -1, true, run_pin_namespaces, NULL },
	{ "netnsInterfaces", "s", 0, true, run_netns_interfaces, result_interfaces },
	{ "dialTcp", "ssi", 0, true, run_dial_tcp, result_number },
	{ "removeTree", "s", 0, true, run_remove_tree, NULL },
	{ "diskUsage", "s", 0, true, run_disk_usage, result_usage },
	{ "putFile", "isviiiiiii", 1, false, run_put_file, NULL },
	{ "openDecoder", "b", -1, false, run_decoder_open, result_decoder },
	{ "decode", "evv", -1, true, run_decode, result_decoded },
	{ "decodeNow", "evv", -1, false, run_decode, result_decoded },
	{ "closeDecoder", "e", -1, false, run_decoder_close, NULL },
};

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */)
{
	napi_value wait;
	sys_spawn_init();
	sys_memory_init();
	if (!call_define(env, exports, BINDINGS, sizeof BINDINGS / sizeof *BINDINGS) ||
	    napi_create_function(env, "waitPid", NAPI_AUTO_LENGTH, wait_pid, NULL, &wait) != napi_ok ||
	    napi_set_named_property(env, exports, "waitPid", wait) != napi_ok)
		napi_throw_error(env, NULL, "skiff.node: cannot define its functions");
	return exports;
}
