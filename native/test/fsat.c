#include "../sys/sys.h"
#include "check.h"

#include <linux/openat2.h>
#include <sys/sysmacros.h>

static void keeps_paths_inside_the_root(void)
{
	mkdir("root", 0755);
	mkdir("root/etc", 0755);
	write_file("root/etc/passwd", "inside");
	CHECK_EQUAL(symlink("/etc/passwd", "root/absolute"), 0);
	CHECK_EQUAL(symlink("../../../../etc", "root/climbing"), 0);
	int root = sys_openat2(AT_FDCWD, "root", O_PATH | O_DIRECTORY, 0, 0);
	const char *const paths[] = { "../../../etc/passwd", "/etc/passwd", "absolute", "climbing/passwd" };
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		char text[16] = "";
		int fd = sys_openat2(root, paths[i], O_RDONLY, 0, RESOLVE_IN_ROOT);
		CHECK(fd >= 0 && read(fd, text, sizeof text - 1) == 6);
		CHECK_TEXT(text, "inside");
		CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
		sys_close(fd);
	}
	CHECK_EQUAL(sys_openat2(root, "absolute", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), -ELOOP);
	CHECK_EQUAL(sys_openat2(root, "../x", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
	sys_close(root);
}

static void never_changes_the_mode_behind_a_link(void)
{
	write_file("file", "");
	CHECK_EQUAL(symlink("file", "link"), 0);
	struct stat before, after;
	stat("file", &before);
	CHECK_EQUAL(sys_fchmodat(AT_FDCWD, "link", 0777), -EOPNOTSUPP);
	stat("file", &after);
	CHECK_EQUAL(after.st_mode, before.st_mode);
	CHECK_EQUAL(sys_fchmodat(AT_FDCWD, "file", 04711), 0);
	stat("file", &after);
	CHECK_EQUAL(after.st_mode & 07777, 04711);
	int fd = open("file", O_PATH | O_CLOEXEC);
	CHECK_EQUAL(sys_fchmodat(fd, "", 0600), 0);
	stat("file", &after);
	CHECK_EQUAL(after.st_mode & 07777, 0600);
	close(fd);
}

static void makes_nodes_and_sets_times_and_owners(void)
{
	struct stat stat;
	CHECK_EQUAL(sys_mknodat(AT_FDCWD, "null", S_IFCHR | 0600, 1, 3), 0);
	CHECK_EQUAL(sys_fchownat(AT_FDCWD, "null", 12, 4000000000u, AT_SYMLINK_NOFOLLOW), 0);
	/* Before 1970, and with nanoseconds. */
	const struct timespec times[2] = { { 5, 6 }, { -7, 999999999 } };
	CHECK_EQUAL(sys_utimensat(AT_FDCWD, "null", times, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_EQUAL(sys_fstatat(AT_FDCWD, "null", AT_SYMLINK_NOFOLLOW, &stat), 0);
	CHECK(S_ISCHR(stat.st_mode));
	CHECK_EQUAL(major(stat.st_rdev), 1);
	CHECK_EQUAL(minor(stat.st_rdev), 3);
	CHECK_EQUAL(stat.st_uid, 12);
	CHECK_EQUAL(stat.st_gid, 4000000000u);
	CHECK_EQUAL(stat.st_mtim.tv_sec, -7);
	CHECK_EQUAL(stat.st_mtim.tv_nsec, 999999999);
	CHECK_EQUAL(sys_mkdirat(AT_FDCWD, "null", 0755), -EEXIST);
	CHECK_EQUAL(sys_unlinkat(AT_FDCWD, "null", AT_REMOVEDIR), -ENOTDIR);
}

static void reads_and_writes_attributes_of_the_link_itself(void)
{
	char *value;
	size_t length;
	write_file("file", "");
	CHECK_EQUAL(symlink("file", "link"), 0);
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQUAL(sys_setxattrat(here, "link", "trusted.test", "a\0b", 3), 0);
	CHECK_EQUAL(sys_getxattrat(here, "file", "trusted.test", &value, &length), -ENODATA);
	CHECK_EQUAL(sys_getxattrat(here, "link", "trusted.test", &value, &length), 0);
	CHECK_EQUAL(length, 3);
	CHECK(memcmp(value, "a\0b", 3) == 0);
	free(value);
	int fd = open("file", O_PATH | O_CLOEXEC);
	CHECK_EQUAL(sys_setxattrat(fd, "", "trusted.empty", "", 0), 0);
	CHECK_EQUAL(sys_listxattrat(here, "file", &value, &length), 0);
	CHECK_TEXT(value, "trusted.empty");
	CHECK_EQUAL(length, strlen("trusted.empty") + 1);
	free(value);
	close(fd);
	close(here);
}

static void locks_once(void)
{
	int first = sys_flock("lock");
	CHECK(first >= 0);
	CHECK_EQUAL(sys_flock("lock"), -EWOULDBLOCK);
	close(first);
	int second = sys_flock("lock");
	CHECK(second >= 0);
	close(second);
}

RUN_TESTS({ "openat2 keeps climbing and absolute paths inside the root", keeps_paths_inside_the_root },
	  { "fchmodat never changes the mode behind a link", never_changes_the_mode_behind_a_link },
	  { "nodes, owners above 2^31 and times before 1970", makes_nodes_and_sets_times_and_owners },
	  { "attributes of a link are its own", reads_and_writes_attributes_of_the_link_itself },
	  { "a lock is held once and freed by close", locks_once })
