/*
 * An OCI runtime for hosts whose cgroup v2 has no controllers and where no one
 * may lower oom_score_adj: runs the program RUNTIME (a string constant given
 * by -D) with the same arguments, after renaming those two keys in the
 * bundle's config.json, so that the runtime overlooks them. One byte of each
 * key changes, in place: linux.resources and process.oomScoreAdj (OCI runtime
 * specification, config-linux.md and config.md).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void rename_key(char *text, size_t length, const char *key)
{
	size_t size = strlen(key);
	char *end = text + length;

	for (char *at = text; (at = memmem(at, (size_t)(end - at), key, size)) != NULL; at += size) {
		char *after = at + size;

		while (after < end && strchr(" \t\r\n", *after) != NULL)
			after++;
		if (after < end && *after == ':')
			at[1] = 'x';
	}
}

static int drop_limits(const char *bundle)
{
	char path[4096];
	struct stat status;
	char *text;
	int fd;

	if (snprintf(path, sizeof(path), "%s/config.json", bundle) >= (int)sizeof(path))
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return -1;
	text = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		return -1;
	rename_key(text, (size_t)status.st_size, "\"resources\"");
	rename_key(text, (size_t)status.st_size, "\"oomScoreAdj\"");
	return 0;
}

int main(int argc, char **argv)
{
	const char *bundle = ".";
	int makes = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "create") == 0 || strcmp(argv[i], "run") == 0)
			makes = 1;
		else if ((strcmp(argv[i], "--bundle") == 0 || strcmp(argv[i], "-b") == 0) && i + 1 < argc)
			bundle = argv[++i];
		else if (strncmp(argv[i], "--bundle=", 9) == 0)
			bundle = argv[i] + 9;
	}
	if (makes && drop_limits(bundle) != 0) {
		perror("without-limits: config.json");
		return 1;
	}
	execv(RUNTIME, argv);
	perror(RUNTIME);
	return 127;
}
