/*
 * The least that a C test needs: TEST(name) { ... CHECK(...) } blocks, run by
 * run_tests in a directory of their own, one TAP line each.
 */
#ifndef SKIFF_TEST_CHECK_H
#define SKIFF_TEST_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(void);
};

static int check_failures;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			check_failures++; \
		} \
	} while (0)

#define CHECK_EQUAL(got, wanted) \
	do { \
		long long got_ = (got), wanted_ = (wanted); \
		if (got_ != wanted_) { \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, wanted_); \
			check_failures++; \
		} \
	} while (0)

#define CHECK_TEXT(got, wanted) \
	do { \
		const char *got_ = (got); \
		if (got_ == NULL || strcmp(got_, wanted) != 0) { \
			printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got, got_ ? got_ : "(null)", wanted); \
			check_failures++; \
		} \
	} while (0)

static inline int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* The text of a small file, in a buffer of its own; "" where there is none. */
static inline const char *read_text_file(const char *path)
{
	static char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[length > 0 ? length : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

/* Every test starts in an empty tmpfs of a mount namespace of its own, so that it leaves nothing. */
static inline bool private_directory(void)
{
	return mkdir("/tmp/skiff-c-test", 0700) == 0 || errno == EEXIST
		       ? mount("tmpfs", "/tmp/skiff-c-test", "tmpfs", 0, "mode=755") == 0 && chdir("/tmp/skiff-c-test") == 0
		       : false;
}

static inline int run_tests(const char *file, const struct test *tests, size_t count)
{
	int failed = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", count);
	bool root = geteuid() == 0;
	if (root && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
		printf("Bail out! %s: no private mount namespace: %s\n", file, strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < count; i++) {
		if (!root) {
			printf("ok %zu - %s # SKIP needs root\n", i + 1, tests[i].name);
			continue;
		}
		check_failures = 0;
		CHECK(private_directory());
		int fds = count_fds();
		tests[i].run();
		CHECK_EQUAL(count_fds(), fds);
		CHECK(chdir("/") == 0 && umount2("/tmp/skiff-c-test", MNT_DETACH) == 0);
		printf("%s %zu - %s\n", check_failures == 0 ? "ok" : "not ok", i + 1, tests[i].name);
		failed += check_failures != 0;
	}
	rmdir("/tmp/skiff-c-test");
	return failed != 0;
}

#define RUN_TESTS(...) \
	int main(void) \
	{ \
		const struct test tests[] = { __VA_ARGS__ }; \
		return run_tests(__FILE__, tests, sizeof tests / sizeof *tests); \
	}

#endif
