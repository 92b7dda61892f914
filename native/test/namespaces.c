#include "../sys/sys.h"
#include "check.h"

#include <sys/vfs.h>

#define NSFS_MAGIC 0x6e736673
#define PIN(type) "/tmp/skiff-c-test/" type

static bool is_namespace(const char *path)
{
	struct statfs statfs_;
	return statfs(path, &statfs_) == 0 && statfs_.f_type == NSFS_MAGIC;
}

static void enter(const char *path, int type)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_EQUAL(setns(fd, type), 0);
	close(fd);
}

static int inside_pinned(void *argument)
{
	(void)argument;
	char name[65] = "";
	enter(PIN("net"), CLONE_NEWNET);
	enter(PIN("ipc"), CLONE_NEWIPC);
	enter(PIN("uts"), CLONE_NEWUTS);
	CHECK_EQUAL(gethostname(name, sizeof name), 0);
	CHECK_TEXT(name, "pinned-host");
	CHECK_TEXT(read_text_file("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "77\n");
	CHECK_TEXT(read_text_file("/proc/sys/kernel/shm_rmid_forced"), "1\n");
	return 0;
}

static void pins_three_with_name_and_sysctls(void)
{
	const char *subject;
	char *const sysctls[] = { "net.ipv4.ip_unprivileged_port_start", "77", "kernel/shm_rmid_forced", "1", NULL };
	const struct pin pin = { PIN("net"), PIN("ipc"), PIN("uts"), "pinned-host", sysctls };
	char before[65], after[65];
	gethostname(before, sizeof before);
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), 0);
	CHECK(is_namespace("net") && is_namespace("ipc") && is_namespace("uts"));
	CHECK_EQUAL(sys_in_thread(inside_pinned, NULL), 0);
	gethostname(after, sizeof after);
	CHECK_TEXT(after, before);
	struct netns_interface *interfaces;
	CHECK_EQUAL(sys_netns_interfaces("net", &interfaces), 1);
	CHECK_TEXT(interfaces[0].name, "lo");
	CHECK(interfaces[0].up);
	free(interfaces);
	const char *const names[] = { "net", "ipc", "uts" };
	for (int i = 0; i < 3; i++)
		CHECK(umount(names[i]) == 0 && unlink(names[i]) == 0);
	CHECK_EQUAL(sys_netns_interfaces("net", &interfaces), -ENOENT);
}

static void check_nothing_left(void)
{
	CHECK(access("net", F_OK) < 0 && access("ipc", F_OK) < 0 && access("uts", F_OK) < 0);
	CHECK(strstr(read_text_file("/proc/self/mountinfo"), "/tmp/skiff-c-test/net") == NULL);
}

static void leaves_nothing_after_a_failure(void)
{
	const char *subject;
	char *const none[] = { NULL }, *const unknown[] = { "net.ipv4.no_such_setting", "1", NULL };
	char *const invalid[] = { "net.ipv4.ip_forward", "text", NULL };
	struct pin pin = { PIN("net"), PIN("ipc"), PIN("missing/uts"), "x", none };
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), -ENOENT);
	CHECK_TEXT(subject, PIN("missing/uts"));
	check_nothing_left();
	pin.uts = PIN("uts");
	pin.sysctls = unknown;
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), -ENOENT);
	CHECK_TEXT(subject, "net.ipv4.no_such_setting");
	check_nothing_left();
	pin.sysctls = invalid;
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), -EINVAL);
	check_nothing_left();
	/* A file that is there already belongs to somebody. */
	write_file("uts", "taken");
	pin.sysctls = none;
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), -EEXIST);
	CHECK_TEXT(read_text_file("uts"), "taken");
	unlink("uts");
	check_nothing_left();
}

static void reaches_no_sysctl_of_the_host(void)
{
	const char *subject;
	const char *const refused[] = { "net.ipv4.ip_forward",  "net/ipv4/ip_forward",       "kernel.panic", "vm.swappiness",
					"kernel.shmmax",        "kernel.shm/../panic", "kernel.hostname", "" };
	char forward[16];
	strcpy(forward, read_text_file("/proc/sys/net/ipv4/ip_forward"));
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		char *const sysctls[] = { (char *)refused[i], "1", NULL };
		const struct pin nothing = { NULL, NULL, NULL, "not-set", sysctls };
		CHECK_EQUAL(sys_pin_namespaces(&nothing, &subject), -EPERM);
	}
	char *const traversal[] = { "net/../kernel/panic", "1", NULL };
	const struct pin pin = { PIN("net"), NULL, NULL, "", traversal };
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), -EPERM);
	check_nothing_left();
	CHECK_TEXT(read_text_file("/proc/sys/net/ipv4/ip_forward"), forward);
}

RUN_TESTS({ "net, ipc and uts are pinned, with name, sysctls and lo", pins_three_with_name_and_sysctls },
	  { "nothing is left after a failure", leaves_nothing_after_a_failure },
	  { "no sysctl of the host is reached", reaches_no_sysctl_of_the_host })
