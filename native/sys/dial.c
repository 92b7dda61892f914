#include "sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

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

static int dial_here(void *argument)
{
	struct dialing *dialing = argument;
	if (setns(dialing->netns, CLONE_NEWNET) < 0)
		return -errno;
	cleanup_close int fd = socket(dialing->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* On the loopback a refusal is known at once; only a listener whose queue is full lets a client wait. */
	if (connect(fd, (struct sockaddr *)&dialing->address, dialing->length) < 0 && errno != EINPROGRESS)
		return -errno;
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
