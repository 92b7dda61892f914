#include "../sys/sys.h"
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static bool exists(const char *path)
{
	struct stat stat;
	return lstat(path, &stat) == 0;
}

static void make_deep(int depth)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < depth; i++) {
		CHECK(mkdir("down", 0755) == 0 && chdir("down") == 0);
		if (i % 100 == 0)
			write_file("file", "x");
	}
	CHECK_EQUAL(fchdir(here), 0);
	close(here);
}

static void removes_what_is_deeper_than_a_path(void)
{
	mkdir("tree", 0755);
	CHECK_EQUAL(chdir("tree"), 0);
	make_deep(3000);
	mkdir("other", 0000);
	CHECK_EQUAL(chdir(".."), 0);
	CHECK_EQUAL(sys_remove_tree("tree/"), 0);
	CHECK(!exists("tree"));
	CHECK_EQUAL(sys_remove_tree("tree"), 0);
	CHECK_EQUAL(sys_remove_tree("no/such/parent"), 0);
	CHECK_EQUAL(sys_remove_tree("."), -EINVAL);
	CHECK_EQUAL(sys_remove_tree("/"), -EINVAL);
}

static void removes_many_entries(void)
{
	char name[64];
	mkdir("many", 0755);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "many/%d", i);
		write_file(name, "");
	}
	CHECK_EQUAL(sys_remove_tree("many"), 0);
	CHECK(!exists("many"));
}

static void follows_no_link_and_enters_no_mount(void)
{
	mkdir("outside", 0755);
	write_file("outside/precious", "x");
	mkdir("tree", 0755);
	mkdir("tree/bound", 0755);
	mkdir("tree/plain", 0755);
	write_file("tree/file", "x");
	write_file("tree/mounted", "x");
	CHECK_EQUAL(symlink("../outside", "tree/link"), 0);
	/* Bind mounts of the same file system: st_dev tells nothing. */
	CHECK_EQUAL(mount("outside", "tree/bound", NULL, MS_BIND, NULL), 0);
	CHECK_EQUAL(mount("outside/precious", "tree/mounted", NULL, MS_BIND, NULL), 0);
	CHECK_EQUAL(sys_remove_tree("tree"), -EBUSY);
	CHECK_EQUAL(sys_remove_tree("tree/bound"), -EBUSY);
	CHECK(exists("outside/precious") && exists("tree/bound/precious") && exists("tree/mounted"));
	CHECK(!exists("tree/plain") && !exists("tree/file") && !exists("tree/link"));
	CHECK_EQUAL(umount("tree/bound"), 0);
	CHECK_EQUAL(umount("tree/mounted"), 0);
	CHECK_EQUAL(symlink("outside", "link"), 0);
	CHECK_EQUAL(sys_remove_tree("link"), 0);
	CHECK_EQUAL(sys_remove_tree("tree"), 0);
	CHECK(exists("outside/precious") && !exists("tree") && !exists("link"));
}

static void counts_each_inode_once(void)
{
	struct disk_usage usage;
	struct stat stat;
	mkdir("used", 0755);
	char block[4096] = { 1 };
	int fd = open("used/a", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; i < 25; i++)
		CHECK_EQUAL(write(fd, block, sizeof block), 4096);
	close(fd);
	char name[64];
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof name, "used/link%d", i);
		CHECK_EQUAL(link("used/a", name), 0);
		snprintf(name, sizeof name, "used/own%d", i);
		write_file(name, "x");
		strcat(name, "-link");
		CHECK_EQUAL(link(strndupa(name, strlen(name) - 5), name), 0);
	}
	mkdir("used/mounted", 0755);
	mkdir("elsewhere", 0755);
	write_file("elsewhere/not-counted", "x");
	CHECK_EQUAL(mount("elsewhere", "used/mounted", NULL, MS_BIND, NULL), 0);
	CHECK_EQUAL(sys_disk_usage("used", &usage), 0);
	/* The directory, `a` and 600 of their own. */
	CHECK_EQUAL(usage.inodes, 602);
	lstat("used", &stat);
	CHECK_EQUAL(usage.bytes, 25 * 4096 + 600 * 4096 + stat.st_blocks * 512);
	CHECK_EQUAL(sys_disk_usage("nowhere", &usage), -ENOENT);
	CHECK_EQUAL(umount("used/mounted"), 0);
}

static int count_processes(const char *command)
{
	char line[256];
	snprintf(line, sizeof line, "pgrep -fxc '%s' >count", command);
	if (system(line) < 0)
		return -1;
	return atoi(read_text_file("count"));
}

static void kills_a_tree_and_its_sessions(void)
{
	struct spawned spawned;
	const char *subject;
	/* A child, one in the background, and one whose parent has gone but whose session tells. */
	char *const argv[] = { "sh", "-c", "sleep 1234.5 & (sleep 1234.5 & sleep 0.05) & sh -c 'sleep 1234.5; true'; true", NULL };
	char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	const int stdio[] = { SPAWN_NULL, SPAWN_NULL, SPAWN_NULL };
	const struct spawn spawn = { .file = "sh", .argv = argv, .envp = envp, .stdio = stdio, .stdio_count = 3, .setsid = true };
	CHECK_EQUAL(sys_spawn(&spawn, &spawned, &subject), 0);
	for (int i = 0; i < 100 && count_processes("sleep 1234.5") < 3; i++)
		usleep(20000);
	usleep(200000);
	CHECK_EQUAL(count_processes("sleep 1234.5"), 3);
	CHECK(sys_kill_tree(spawned.pid) >= 5);
	CHECK_EQUAL(count_processes("sleep 1234.5"), 0);
	struct exit_status status;
	CHECK_EQUAL(sys_reap(spawned.pidfd, &status), 0);
	CHECK_EQUAL(status.signal, SIGKILL);
	close(spawned.pidfd);
	CHECK_EQUAL(sys_kill_tree(spawned.pid), 0);
	CHECK_EQUAL(sys_kill_tree(1), -EINVAL);
	CHECK_EQUAL(sys_kill_tree(0), -EINVAL);
}

RUN_TESTS({ "a tree deeper than any path is removed", removes_what_is_deeper_than_a_path },
	  { "5000 entries of one directory are removed", removes_many_entries },
	  { "removal follows no link and enters no mount", follows_no_link_and_enters_no_mount },
	  { "disk usage counts each inode once and no mount", counts_each_inode_once },
	  { "a process tree dies with its orphans", kills_a_tree_and_its_sessions })
