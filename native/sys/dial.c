#include "sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#define OUTCOME_MS 50

struct dialing {
	int netns;
	struct sockaddr_storage address;
	socklen_t length;
};

static int parse_address(const char *address, uint16_t port, struct dialing *dialing)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&dialing->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&dialing->address;
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		dialing->length = sizeof *v4;
		return 0;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		return -EINVAL;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	dialing->length = sizeof *v6;
	return 0;
}

/* The errno of a connection that is being made, 0 = none so far. */
static int outcome(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t length = sizeof error;
	/* On the loopback it is known at once, unless the listener's queue is full. */
	if (poll(&ready, 1, OUTCOME_MS) < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	return error;
}

static int dial_here(void *argument)
{
	struct dialing *dialing = argument;
	if (setns(dialing->netns, CLONE_NEWNET) < 0)
		return -errno;
	cleanup_close int fd = socket(dialing->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&dialing->address, dialing->length) < 0) {
		int error = errno == EINPROGRESS ? outcome(fd) : errno;
		if (error != 0)
			return -error;
	}
	int connected = fd;
	fd = -1;
	return connected;
}

int sys_dial_tcp(const char *netns, const char *address, uint16_t port)
{
	struct dialing dialing = { 0 };
	int status = parse_address(address, port, &dialing);
	if (status < 0)
		return status;
	cleanup_close int fd = open(netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dialing.netns = fd;
	return sys_in_thread(dial_here, &dialing);
}
