#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>

/*
 * A container may nest directories deeper than descriptors or the stack reach.
 * Removal moves what lies deeper than this up to the top; usage stops there.
 */
#define DEPTH_MAX 256
#define PASSES_MAX 1024

/* Refuses mount points (-EXDEV), also bind mounts of the same file system, and symbolic links (-ELOOP or -ENOTDIR). */
static int open_directory(int dirfd, const char *name)
{
	return sys_openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

struct removal {
	int top;
	unsigned long moved;
	int error; /* the first one */
};

static void note(struct removal *removal, int status)
{
	if (status < 0 && removal->error == 0)
		removal->error = status == -EXDEV ? -EBUSY : status;
}

static void empty_directory(struct removal *removal, int fd, unsigned int depth);

/* Moves a directory that lies too deep to the top, whose next pass finds it. */
static bool move_to_top(struct removal *removal, int dirfd, const char *name)
{
	char up[48];
	snprintf(up, sizeof up, ".skiff-deep-%lu", removal->moved++);
	int status = sys_renameat2(dirfd, name, removal->top, up, RENAME_NOREPLACE);
	note(removal, status);
	return status == 0;
}

/* True where the entry went away. */
static bool remove_directory(struct removal *removal, int dirfd, const char *name, unsigned int depth)
{
	int fd = open_directory(dirfd, name);
	if (fd < 0) {
		note(removal, fd);
		return false;
	}
	if (depth >= DEPTH_MAX) {
		close(fd);
		return move_to_top(removal, dirfd, name);
	}
	int before = removal->error;
	empty_directory(removal, fd, depth + 1);
	int status = sys_unlinkat(dirfd, name, AT_REMOVEDIR);
	/* Not empty because something inside could not go: that error is the one to tell. */
	if (status < 0 && removal->error == before)
		note(removal, status);
	return status == 0;
}

static bool remove_entry(struct removal *removal, int dirfd, const struct dirent *entry, unsigned int depth)
{
	if (entry->d_type == DT_DIR)
		return remove_directory(removal, dirfd, entry->d_name, depth);
	int status = sys_unlinkat(dirfd, entry->d_name, 0);
	if (status == -EISDIR)
		return remove_directory(removal, dirfd, entry->d_name, depth);
	if (status != -ENOENT)
		note(removal, status);
	return status == 0;
}

/* Takes over `fd`. Reads again after each pass that removed something: entries may be skipped while others go. */
static void empty_directory(struct removal *removal, int fd, unsigned int depth)
{
	DIR *directory = fdopendir(fd);
	if (directory == NULL) {
		note(removal, -errno);
		close(fd);
		return;
	}
	bool removed = true;
	for (int pass = 0; removed && pass < PASSES_MAX; pass++) {
		removed = false;
		rewinddir(directory);
		for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
			if (!is_dots(entry->d_name) && remove_entry(removal, fd, entry, depth))
				removed = true;
		}
	}
	closedir(directory);
}

int sys_remove_tree(const char *path)
{
	cleanup_free char *parent = strdup(path);
	if (parent == NULL)
		return -ENOMEM;
	for (size_t end = strlen(parent); end > 1 && parent[end - 1] == '/'; end--)
		parent[end - 1] = '\0';
	char *slash = strrchr(parent, '/');
	const char *name = slash != NULL ? slash + 1 : parent;
	if (*name == '\0' || is_dots(name))
		return -EINVAL;
	if (slash != NULL)
		*slash = '\0';
	const char *above = slash == NULL ? "." : slash == parent ? "/" : parent;
	cleanup_close int dirfd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : -errno;
	cleanup_close int top = open_directory(dirfd, name);
	if (top == -ENOENT)
		return 0;
	if (top == -ENOTDIR || top == -ELOOP)
		return sys_unlinkat(dirfd, name, 0);
	if (top < 0)
		return top == -EXDEV ? -EBUSY : top;
	struct removal removal = { .top = top };
	int fd = dup(top);
	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	empty_directory(&removal, fd, 1);
	if (removal.error != 0)
		return removal.error;
	int status = sys_unlinkat(dirfd, name, AT_REMOVEDIR);
	return status == -ENOENT ? 0 : status;
}

/* The inodes with more than one name that were counted: open addressing, at most half full. */
struct seen {
	struct {
		uint64_t dev, ino;
	} *slots;
	size_t room, count;
};

static size_t slot_of(const struct seen *seen, uint64_t dev, uint64_t ino)
{
	size_t slot = (ino * UINT64_C(0x9e3779b97f4a7c15) ^ dev) & (seen->room - 1);
	while (seen->slots[slot].ino != 0 && (seen->slots[slot].ino != ino || seen->slots[slot].dev != dev))
		slot = (slot + 1) & (seen->room - 1);
	return slot;
}

static int grow(struct seen *seen)
{
	struct seen larger = { .room = seen->room == 0 ? 256 : seen->room * 2, .count = seen->count };
	larger.slots = calloc(larger.room, sizeof *larger.slots);
	if (larger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < seen->room; i++) {
		if (seen->slots[i].ino != 0)
			larger.slots[slot_of(&larger, seen->slots[i].dev, seen->slots[i].ino)] = seen->slots[i];
	}
	free(seen->slots);
	*seen = larger;
	return 0;
}

/* 1 at the first sight of an inode, 0 at the next. */
static int first_sight(struct seen *seen, const struct stat *stat)
{
	if (seen->count * 2 >= seen->room && grow(seen) < 0)
		return -ENOMEM;
	size_t slot = slot_of(seen, stat->st_dev, stat->st_ino);
	if (seen->slots[slot].ino != 0)
		return 0;
	seen->slots[slot].dev = stat->st_dev;
	seen->slots[slot].ino = stat->st_ino;
	seen->count++;
	return 1;
}

static int count_inode(struct disk_usage *usage, struct seen *seen, const struct stat *stat)
{
	if (!S_ISDIR(stat->st_mode) && stat->st_nlink > 1) {
		int first = first_sight(seen, stat);
		if (first <= 0)
			return first;
	}
	usage->bytes += (uint64_t)stat->st_blocks * 512;
	usage->inodes++;
	return 0;
}

static int walk(struct disk_usage *usage, struct seen *seen, int fd, unsigned int depth);

static int count_entry(struct disk_usage *usage, struct seen *seen, int dirfd, const char *name, unsigned int depth)
{
	struct stat stat;
	if (fstatat(dirfd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(stat.st_mode))
		return count_inode(usage, seen, &stat);
	if (depth >= DEPTH_MAX)
		return 0;
	int fd = open_directory(dirfd, name);
	/* Another file system, or gone meanwhile. */
	if (fd == -EXDEV || fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	return fd < 0 ? fd : walk(usage, seen, fd, depth + 1);
}

/* Takes over `fd`. */
static int walk(struct disk_usage *usage, struct seen *seen, int fd, unsigned int depth)
{
	DIR *directory = fdopendir(fd);
	if (directory == NULL) {
		close(fd);
		return -ENOMEM;
	}
	struct stat stat;
	int status = fstat(fd, &stat) < 0 ? -errno : count_inode(usage, seen, &stat);
	for (struct dirent *entry; status == 0 && (entry = readdir(directory)) != NULL;) {
		if (!is_dots(entry->d_name))
			status = count_entry(usage, seen, fd, entry->d_name, depth);
	}
	closedir(directory);
	return status;
}

int sys_disk_usage(const char *path, struct disk_usage *usage)
{
	*usage = (struct disk_usage){ 0 };
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct seen seen = { 0 };
	int status = walk(usage, &seen, fd, 1);
	free(seen.slots);
	return status;
}
