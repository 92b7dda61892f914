#include "../sys/sys.h"
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define PORT 4711

static int enter_and_listen(void *argument)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = IN6ADDR_ANY_INIT };
	int netns = open("net", O_RDONLY | O_CLOEXEC);
	CHECK_EQUAL(setns(netns, CLONE_NEWNET), 0);
	close(netns);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	CHECK_EQUAL(listen(fd, 1), 0);
	*(int *)argument = fd;
	return 0;
}

static void dials_in_the_other_namespace(void)
{
	const char *subject;
	const struct pin pin = { "net", NULL, NULL, "", (char *const[]){ NULL } };
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), 0);
	int listener = -1;
	CHECK_EQUAL(sys_in_thread(enter_and_listen, &listener), 0);
	const char *const addresses[] = { "127.0.0.1", "::1" };
	for (int i = 0; i < 2; i++) {
		int fd = sys_dial_tcp("net", addresses[i], PORT);
		CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
		int accepted = accept(listener, NULL, NULL);
		char got = 0;
		CHECK(write(fd, "x", 1) == 1 && read(accepted, &got, 1) == 1 && got == 'x');
		close(accepted);
		close(fd);
		CHECK_EQUAL(sys_dial_tcp("net", addresses[i], PORT + 1), -ECONNREFUSED);
	}
	close(listener);
	CHECK_EQUAL(sys_dial_tcp("net", "127.0.0.1", PORT), -ECONNREFUSED);
	CHECK_EQUAL(sys_dial_tcp("net", "localhost", PORT), -EINVAL);
	CHECK_EQUAL(sys_dial_tcp("absent", "127.0.0.1", PORT), -ENOENT);
	CHECK(umount("net") == 0 && unlink("net") == 0);
}

/* Clients that nobody accepts wait in the kernel, not here. */
static void does_not_wait_for_a_full_listener(void)
{
	const char *subject;
	const struct pin pin = { "net", NULL, NULL, "", (char *const[]){ NULL } };
	CHECK_EQUAL(sys_pin_namespaces(&pin, &subject), 0);
	int listener = -1, fds[8];
	CHECK_EQUAL(sys_in_thread(enter_and_listen, &listener), 0);
	for (int i = 0; i < 8; i++) {
		fds[i] = sys_dial_tcp("net", "127.0.0.1", PORT);
		CHECK(fds[i] >= 0);
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(listener);
	CHECK(umount("net") == 0 && unlink("net") == 0);
}

RUN_TESTS({ "dials_in_the_other_namespace", dials_in_the_other_namespace },
	  { "does_not_wait_for_a_full_listener", does_not_wait_for_a_full_listener })
