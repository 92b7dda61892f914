#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* How long a killed process may take: it may sit in an uninterruptible call. */
#define PATIENCE_MS 5000
#define ROUNDS 64

struct process {
	pid_t pid, parent, session;
	char state;
};

struct processes {
	struct process *list;
	size_t count, room;
};

/* Those that are to die, each held by a pidfd: their numbers cannot pass to others meanwhile. */
struct victims {
	pid_t *pids;
	struct pollfd *polls;
	size_t count;
};

/* False where the process is gone. */
static bool read_process(pid_t pid, struct process *process)
{
	char name[64], text[512];
	snprintf(name, sizeof name, "/proc/%d/stat", pid);
	cleanup_close int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t length = read(fd, text, sizeof text - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	/* The command's name, in parentheses, may hold anything: the fields follow the last one (proc(5)). */
	const char *fields = strrchr(text, ')');
	process->pid = pid;
	return fields != NULL && sscanf(fields + 1, " %c %d %*d %d", &process->state, &process->parent, &process->session) == 3;
}

static int read_processes(struct processes *all)
{
	DIR *proc = opendir("/proc");
	if (proc == NULL)
		return -errno;
	all->count = 0;
	int status = 0;
	for (struct dirent *entry; status == 0 && (entry = readdir(proc)) != NULL;) {
		pid_t pid = atoi(entry->d_name);
		if (pid <= 0)
			continue;
		if (all->count == all->room) {
			size_t room = all->room * 2 + 256;
			struct process *list = realloc(all->list, room * sizeof *list);
			if (list == NULL) {
				status = -ENOMEM;
				break;
			}
			all->list = list;
			all->room = room;
		}
		all->count += read_process(pid, &all->list[all->count]);
	}
	closedir(proc);
	return status;
}

static bool holds(const pid_t *pids, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == pid)
			return true;
	}
	return false;
}

/* The numbers of `root`, all its descendants, and all in a session that one of them leads. */
static size_t find_members(const struct processes *all, pid_t root, pid_t *members)
{
	size_t count = 1;
	members[0] = root;
	for (size_t before = 0; before != count;) {
		before = count;
		for (size_t i = 0; i < all->count; i++) {
			const struct process *p = &all->list[i];
			if ((holds(members, count, p->parent) || holds(members, count, p->session)) &&
			    !holds(members, count, p->pid) && p->pid != getpid())
				members[count++] = p->pid;
		}
	}
	return count;
}

static int add_victim(struct victims *victims, pid_t pid)
{
	pid_t *pids = realloc(victims->pids, (victims->count + 1) * sizeof *pids);
	if (pids == NULL)
		return -ENOMEM;
	victims->pids = pids;
	struct pollfd *polls = realloc(victims->polls, (victims->count + 1) * sizeof *polls);
	if (polls == NULL)
		return -ENOMEM;
	victims->polls = polls;
	int fd = sys_pidfd_open(pid);
	if (fd < 0)
		return fd == -ESRCH ? 0 : fd;
	/* Stopped before it is killed, so that it can start nothing more between our look and its death. */
	sys_pidfd_send_signal(fd, SIGSTOP);
	pids[victims->count] = pid;
	polls[victims->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 1;
}

/* One look at all processes; answers how many members were new. */
static int stop_members(struct processes *all, pid_t root, struct victims *victims)
{
	int status = read_processes(all);
	if (status < 0)
		return status;
	cleanup_free pid_t *members = malloc((all->count + 1) * sizeof *members);
	if (members == NULL)
		return -ENOMEM;
	size_t count = find_members(all, root, members);
	int added = 0;
	for (size_t i = 0; i < all->count; i++) {
		const struct process *p = &all->list[i];
		if (p->state == 'Z' || p->state == 'X' || !holds(members, count, p->pid) ||
		    holds(victims->pids, victims->count, p->pid))
			continue;
		status = add_victim(victims, p->pid);
		if (status < 0)
			return status;
		added += status;
	}
	return added;
}

static int kill_all(const struct victims *victims)
{
	int status = 0;
	for (size_t i = 0; i < victims->count; i++)
		sys_pidfd_send_signal(victims->polls[i].fd, SIGKILL);
	for (size_t i = 0; i < victims->count; i++) {
		if (poll(&victims->polls[i], 1, PATIENCE_MS) == 0)
			status = -ETIMEDOUT;
	}
	return status;
}

static int kill_round(struct processes *all, pid_t root)
{
	struct victims victims = { 0 };
	int status = 0;
	for (int i = 0; i < ROUNDS; i++) {
		status = stop_members(all, root, &victims);
		if (status <= 0)
			break;
	}
	/* Out of descriptors or memory: those held so far die, which makes room for the next round. */
	if (status >= 0 || victims.count > 0) {
		int killed = kill_all(&victims);
		status = killed < 0 ? killed : (int)victims.count;
	}
	for (size_t i = 0; i < victims.count; i++)
		close(victims.polls[i].fd);
	free(victims.pids);
	free(victims.polls);
	return status;
}

int sys_kill_tree(pid_t pid)
{
	if (pid <= 1 || pid == getpid())
		return -EINVAL;
	struct processes all = { 0 };
	int killed = 0, status;
	do {
		status = kill_round(&all, pid);
		killed += status > 0 ? status : 0;
	} while (status > 0);
	free(all.list);
	return status < 0 ? status : killed;
}
