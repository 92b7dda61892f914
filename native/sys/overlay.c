#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* fsconfig(2) copies a value of at most this many bytes, its NUL included. */
#define FSCONFIG_VALUE_MAX 256

static int configure(int fs, unsigned int command, const char *key, const void *value)
{
	return syscall(SYS_fsconfig, fs, command, key, value, 0) < 0 ? -errno : 0;
}

static int set_layer(int fs, const char *key, const char *path, const char **subject)
{
	*subject = path;
	return path == NULL ? 0 : configure(fs, FSCONFIG_SET_STRING, key, path);
}

static int set_option(int fs, const char *option, const char **subject)
{
	*subject = option;
	const char *equals = strchr(option, '=');
	if (equals == NULL)
		return configure(fs, FSCONFIG_SET_FLAG, option, NULL);
	cleanup_free char *key = strndup(option, equals - option);
	return key == NULL ? -ENOMEM : configure(fs, FSCONFIG_SET_STRING, key, equals + 1);
}

static int set_all(int fs, const struct overlay *overlay, const char **subject)
{
	int status = 0;
	for (char *const *lower = overlay->lowers; status == 0 && *lower != NULL; lower++)
		status = set_layer(fs, "lowerdir+", *lower, subject);
	if (status == 0)
		status = set_layer(fs, "upperdir", overlay->upper, subject);
	if (status == 0)
		status = set_layer(fs, "workdir", overlay->work, subject);
	for (char *const *option = overlay->options; status == 0 && *option != NULL; option++)
		status = set_option(fs, *option, subject);
	return status;
}

/* A layer at a time with `lowerdir+` (Linux 6.8, Documentation/filesystems/overlayfs.rst). */
static int mount_by_fsconfig(const struct overlay *overlay, const char **subject)
{
	cleanup_close int fs = syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	int status = configure(fs, FSCONFIG_SET_STRING, "source", "overlay");
	if (status == 0)
		status = set_all(fs, overlay, subject);
	if (status < 0)
		return status;
	*subject = overlay->target;
	status = configure(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
	if (status < 0)
		return status;
	cleanup_close int tree = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (tree < 0)
		return -errno;
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, overlay->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* mount(2) with the data of one page, from a working directory of its own so that names are short. */
struct classic {
	const struct overlay *overlay;
	const char *directory;
	const char *data;
};

static int mount_from_directory(void *argument)
{
	const struct classic *classic = argument;
	if (unshare(CLONE_FS) < 0 || chdir(classic->directory) < 0)
		return -errno;
	return sys_mount("overlay", classic->overlay->target, "overlay", 0, classic->data);
}

/* False where the names do not fit the page. */
static int mount_with_data(const struct overlay *overlay, const char *directory, const char *data, bool *fits)
{
	struct classic classic = { overlay, directory, data };
	*fits = strlen(data) < (size_t)sysconf(_SC_PAGESIZE);
	return *fits ? sys_in_thread(mount_from_directory, &classic) : -E2BIG;
}

static void write_options(FILE *data, const struct overlay *overlay)
{
	for (char *const *option = overlay->options; *option != NULL; option++)
		fprintf(data, ",%s", *option);
}

/* Length of the longest "/a/b/" that all lowers begin with. */
static size_t common_parent(char *const *lowers)
{
	const char *first = lowers[0];
	size_t length = strrchr(first, '/') - first + 1;
	for (char *const *lower = lowers + 1; *lower != NULL; lower++) {
		while (length > 1 && strncmp(first, *lower, length) != 0)
			length = (const char *)memrchr(first, '/', length - 1) - first + 1;
	}
	return length;
}

static int mount_by_relative_names(const struct overlay *overlay, bool *fits)
{
	size_t prefix = common_parent(overlay->lowers);
	cleanup_free char *directory = strndup(overlay->lowers[0], prefix);
	cleanup_free char *text = NULL;
	size_t size;
	FILE *data = open_memstream(&text, &size);
	if (data == NULL || directory == NULL)
		return -ENOMEM;
	for (char *const *lower = overlay->lowers; *lower != NULL; lower++)
		fprintf(data, "%s%s", lower == overlay->lowers ? "lowerdir=" : ":", *lower + prefix);
	if (overlay->upper != NULL)
		fprintf(data, ",upperdir=%s,workdir=%s", overlay->upper, overlay->work);
	write_options(data, overlay);
	return fclose(data) != 0 ? -ENOMEM : mount_with_data(overlay, directory, text, fits);
}

static int open_layer(const char *path, int *fds, size_t *count, const char **subject)
{
	*subject = path;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fds[(*count)++] = fd;
	return fd;
}

static int write_descriptors(const struct overlay *overlay, FILE *data, int *fds, size_t *count, const char **subject)
{
	int fd;
	for (char *const *lower = overlay->lowers; *lower != NULL; lower++) {
		if ((fd = open_layer(*lower, fds, count, subject)) < 0)
			return fd;
		fprintf(data, "%s%d", lower == overlay->lowers ? "lowerdir=" : ":", fd);
	}
	if (overlay->upper != NULL) {
		if ((fd = open_layer(overlay->upper, fds, count, subject)) < 0)
			return fd;
		fprintf(data, ",upperdir=%d", fd);
		if ((fd = open_layer(overlay->work, fds, count, subject)) < 0)
			return fd;
		fprintf(data, ",workdir=%d", fd);
	}
	write_options(data, overlay);
	return 0;
}

/* Numbers as names, from /proc/self/fd: fits whatever the paths are, but mountinfo then tells nothing. */
static int mount_by_descriptors(const struct overlay *overlay, size_t lowers, const char **subject)
{
	size_t count = 0, size;
	bool fits;
	cleanup_free int *fds = calloc(lowers + 2, sizeof *fds);
	cleanup_free char *text = NULL;
	FILE *data = open_memstream(&text, &size);
	if (data == NULL || fds == NULL)
		return -ENOMEM;
	int status = write_descriptors(overlay, data, fds, &count, subject);
	if (fclose(data) != 0)
		status = -ENOMEM;
	if (status == 0) {
		*subject = overlay->target;
		status = mount_with_data(overlay, "/proc/self/fd", text, &fits);
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return status;
}

/* Free of the characters that overlay's option string gives a meaning. */
static bool is_plain(const char *path)
{
	return path == NULL || strpbrk(path, ",:\\") == NULL;
}

int sys_overlay_mount(const struct overlay *overlay, const char **subject)
{
	bool plain = is_plain(overlay->upper) && is_plain(overlay->work);
	bool shortish = true;
	size_t lowers = 0;
	for (; overlay->lowers[lowers] != NULL; lowers++) {
		*subject = overlay->lowers[lowers];
		if (**subject != '/')
			return -EINVAL;
		plain = plain && is_plain(*subject);
		shortish = shortish && strlen(*subject) < FSCONFIG_VALUE_MAX;
	}
	*subject = overlay->target;
	if (lowers == 0 || (overlay->upper == NULL) != (overlay->work == NULL))
		return -EINVAL;
	int status = -EINVAL;
	bool fits = false;
	if (plain && shortish && !overlay->legacy)
		status = mount_by_fsconfig(overlay, subject);
	/* What an older kernel says to `lowerdir+`; a real mistake is told by mount(2) too. */
	if (status != -EINVAL && status != -ENOSYS && status != -E2BIG)
		return status;
	*subject = overlay->target;
	if (plain)
		status = mount_by_relative_names(overlay, &fits);
	return fits ? status : mount_by_descriptors(overlay, lowers, subject);
}
