#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

struct pinning {
	const struct pin *pin;
	const char *subject;
};

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* True where the setting belongs to a namespace made here; all others are the host's own (sysctl(5), namespaces(7)). */
static bool is_ours(const struct pin *pin, const char *name)
{
	if (begins(name, "net/"))
		return pin->net != NULL;
	if (begins(name, "kernel/shm") || begins(name, "kernel/msg") || begins(name, "kernel/sem") ||
	    begins(name, "fs/mqueue/"))
		return pin->ipc != NULL;
	if (strcmp(name, "kernel/hostname") == 0 || strcmp(name, "kernel/domainname") == 0)
		return pin->uts != NULL;
	return false;
}

/* "net.ipv4.ip_forward" or "net/ipv4/conf/eth0.1/forwarding": the first separator decides, as in sysctl(8). */
static void to_file_name(char *key)
{
	size_t first = strcspn(key, "./");
	if (key[first] != '.')
		return;
	for (char *c = key; *c != '\0'; c++) {
		if (*c == '.')
			*c = '/';
		else if (*c == '/')
			*c = '.';
	}
}

static int write_sysctl(const struct pin *pin, const char *key, const char *value)
{
	cleanup_free char *name = strdup(key);
	cleanup_free char *file = NULL;
	if (name == NULL)
		return -ENOMEM;
	to_file_name(name);
	if (!is_ours(pin, name) || strstr(name, "..") != NULL)
		return -EPERM;
	if (asprintf(&file, "/proc/sys/%s", name) < 0)
		return -ENOMEM;
	cleanup_close int fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return -errno;
	return 0;
}

static int write_sysctls(struct pinning *pinning)
{
	for (char *const *item = pinning->pin->sysctls; item[0] != NULL && item[1] != NULL; item += 2) {
		pinning->subject = item[0];
		int status = write_sysctl(pinning->pin, item[0], item[1]);
		if (status < 0)
			return status;
	}
	return 0;
}

static int set_loopback_up(void)
{
	cleanup_close int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };
	if (socket_fd < 0 || ioctl(socket_fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP | IFF_RUNNING;
	return ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* Makes the file and binds the thread's namespace on it: the mount keeps the namespace when the thread has ended. */
static int bind_namespace(struct pinning *pinning, const char *type, const char *path)
{
	if (path == NULL)
		return 0;
	pinning->subject = path;
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	close(fd);
	char source[48];
	snprintf(source, sizeof source, "/proc/thread-self/ns/%s", type);
	if (mount(source, path, NULL, MS_BIND, NULL) == 0)
		return 0;
	int error = errno;
	unlink(path);
	return -error;
}

static void unpin(const char *path)
{
	if (path == NULL)
		return;
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
	unlink(path);
}

static int bind_all(struct pinning *pinning)
{
	const struct pin *pin = pinning->pin;
	int status = bind_namespace(pinning, "net", pin->net);
	if (status < 0)
		return status;
	status = bind_namespace(pinning, "ipc", pin->ipc);
	if (status == 0) {
		status = bind_namespace(pinning, "uts", pin->uts);
		if (status < 0)
			unpin(pin->ipc);
	}
	if (status < 0)
		unpin(pin->net);
	return status;
}

static int pin_here(void *argument)
{
	struct pinning *pinning = argument;
	const struct pin *pin = pinning->pin;
	int flags = (pin->net != NULL ? CLONE_NEWNET : 0) | (pin->ipc != NULL ? CLONE_NEWIPC : 0) |
		    (pin->uts != NULL ? CLONE_NEWUTS : 0);
	if (unshare(flags) < 0)
		return -errno;
	if (pin->uts != NULL && *pin->hostname != '\0') {
		pinning->subject = pin->hostname;
		if (sethostname(pin->hostname, strlen(pin->hostname)) < 0)
			return -errno;
	}
	if (pin->net != NULL) {
		pinning->subject = "lo";
		int status = set_loopback_up();
		if (status < 0)
			return status;
	}
	int status = write_sysctls(pinning);
	return status < 0 ? status : bind_all(pinning);
}

int sys_pin_namespaces(const struct pin *pin, const char **subject)
{
	struct pinning pinning = { pin, NULL };
	int status = sys_in_thread(pin_here, &pinning);
	*subject = pinning.subject;
	return status;
}

struct reading {
	int netns;
	struct netns_interface *list;
	size_t count;
};

static bool is_up(int socket_fd, const char *name)
{
	struct ifreq request = { 0 };
	memcpy(request.ifr_name, name, strnlen(name, sizeof request.ifr_name - 1));
	return ioctl(socket_fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

/* One line of net/dev: name, then 8 counters received and 8 sent: bytes, packets, errs, ... (proc_pid_net(5)). */
static bool parse_line(const char *line, struct netns_interface *interface)
{
	unsigned long long rx[3], tx[3];
	if (sscanf(line, " %15[^:]: %llu %llu %llu %*u %*u %*u %*u %*u %llu %llu %llu", interface->name, &rx[0], &rx[1],
		   &rx[2], &tx[0], &tx[1], &tx[2]) != 7)
		return false;
	interface->rx_bytes = rx[0];
	interface->rx_errors = rx[2];
	interface->tx_bytes = tx[0];
	interface->tx_errors = tx[2];
	return true;
}

static int read_interfaces(struct reading *reading, FILE *file, int socket_fd)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	while (getline(&line, &size, file) >= 0) {
		struct netns_interface interface = { 0 };
		if (!parse_line(line, &interface))
			continue;
		interface.up = is_up(socket_fd, interface.name);
		struct netns_interface *list = realloc(reading->list, (reading->count + 1) * sizeof *list);
		if (list == NULL)
			return -ENOMEM;
		reading->list = list;
		list[reading->count++] = interface;
	}
	return 0;
}

static int read_here(void *argument)
{
	struct reading *reading = argument;
	if (setns(reading->netns, CLONE_NEWNET) < 0)
		return -errno;
	cleanup_close int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return -errno;
	FILE *file = fopen("/proc/thread-self/net/dev", "re");
	if (file == NULL)
		return -errno;
	int status = read_interfaces(reading, file, socket_fd);
	fclose(file);
	return status;
}

int sys_netns_interfaces(const char *path, struct netns_interface **interfaces)
{
	cleanup_close int netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return -errno;
	struct reading reading = { .netns = netns };
	int status = sys_in_thread(read_here, &reading);
	if (status < 0) {
		free(reading.list);
		return status;
	}
	*interfaces = reading.list;
	return reading.count;
}
