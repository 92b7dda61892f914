#include "../sys/sys.h"
#include "check.h"

#define LAYERS 127

static char *LOWERS[LAYERS + 1];

/* Layer `i` (0 on top) holds the files "<i>" and "top", the latter with its own number. */
static void make_layers(const char *parent)
{
	char name[512], text[16];
	mkdir(parent, 0755);
	for (int i = 0; i < LAYERS; i++) {
		snprintf(name, sizeof name, "%s/%s/%08d", "/tmp/skiff-c-test", parent, i);
		mkdir(name, 0755);
		LOWERS[i] = strdup(name);
		snprintf(text, sizeof text, "%d", i);
		snprintf(name, sizeof name, "%s/%d", LOWERS[i], i);
		write_file(name, text);
		snprintf(name, sizeof name, "%s/top", LOWERS[i]);
		write_file(name, text);
	}
	mkdir("upper", 0755);
	mkdir("work", 0755);
	mkdir("merged", 0755);
}

static void free_layers(void)
{
	for (int i = 0; i < LAYERS; i++)
		free(LOWERS[i]);
}

static void mount_all(bool legacy)
{
	char name[32], text[16];
	const char *subject;
	char *const options[] = { "metacopy=off", "index=off", "xino=off", "redirect_dir=off", NULL };
	const struct overlay overlay = { LOWERS, "/tmp/skiff-c-test/upper", "/tmp/skiff-c-test/work", "/tmp/skiff-c-test/merged",
					 options, legacy };
	char cwd[256];
	CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), 0);
	CHECK_TEXT(getcwd(cwd, sizeof cwd), "/tmp/skiff-c-test");
	CHECK(!legacy || strstr(read_text_file("/proc/self/mountinfo"), "lowerdir+=") == NULL);
	for (int i = 0; i < LAYERS; i++) {
		snprintf(name, sizeof name, "merged/%d", i);
		snprintf(text, sizeof text, "%d", i);
		CHECK_TEXT(read_text_file(name), text);
	}
	CHECK_TEXT(read_text_file("merged/top"), "0");
	write_file("merged/top", "written");
	CHECK_TEXT(read_text_file("upper/top"), "written");
	CHECK_EQUAL(umount("merged"), 0);
	unlink("upper/top");
}

static void mounts_layer_by_layer(void)
{
	make_layers("layers");
	mount_all(false);
	free_layers();
}

static void mounts_by_relative_names(void)
{
	make_layers("layers");
	mount_all(true);
	free_layers();
}

static void mounts_names_that_fit_no_page(void)
{
	char parent[240];
	memset(parent, 'p', sizeof parent);
	parent[sizeof parent - 1] = '\0';
	mkdir(parent, 0755);
	make_layers("layers");
	/* The layers' common parent is the root of the test now, the first one's name needs 240 bytes of the page. */
	char moved[512];
	for (int i = 0; i < LAYERS; i++) {
		snprintf(moved, sizeof moved, "/tmp/skiff-c-test/%s/%08d", i % 2 ? "layers" : parent, i);
		CHECK_EQUAL(rename(LOWERS[i], moved), 0);
		free(LOWERS[i]);
		LOWERS[i] = strdup(moved);
	}
	mount_all(true);
	mount_all(false);
	free_layers();
}

static void mounts_names_with_a_meaning(void)
{
	make_layers("a:b,c\\d");
	mount_all(true);
	mount_all(false);
	free_layers();
}

static void mounts_read_only_without_upper(void)
{
	const char *subject;
	char *const none[] = { NULL };
	make_layers("layers");
	for (int legacy = 0; legacy < 2; legacy++) {
		const struct overlay overlay = { LOWERS, NULL, NULL, "/tmp/skiff-c-test/merged", none, legacy };
		CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), 0);
		CHECK_TEXT(read_text_file("merged/top"), "0");
		CHECK_EQUAL(open("merged/new", O_WRONLY | O_CREAT, 0644), -1);
		CHECK_EQUAL(errno, EROFS);
		CHECK_EQUAL(umount("merged"), 0);
	}
	free_layers();
}

static void tells_what_failed(void)
{
	const char *subject;
	char *const none[] = { NULL }, *const wrong[] = { "no-such-option=1", NULL };
	char *const missing[] = { "/tmp/skiff-c-test/no-layer", NULL }, *const relative[] = { "layers", NULL };
	make_layers("layers");
	struct overlay overlay = { missing, NULL, NULL, "/tmp/skiff-c-test/merged", none, false };
	CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), -ENOENT);
	CHECK_TEXT(subject, "/tmp/skiff-c-test/no-layer");
	overlay.lowers = relative;
	CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), -EINVAL);
	overlay.lowers = LOWERS;
	overlay.options = wrong;
	CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), -EINVAL);
	overlay.options = none;
	overlay.target = "/tmp/skiff-c-test/no-target";
	CHECK_EQUAL(sys_overlay_mount(&overlay, &subject), -ENOENT);
	CHECK_TEXT(subject, "/tmp/skiff-c-test/no-target");
	free_layers();
}

RUN_TESTS({ "127 layers one by one (or what the kernel has)", mounts_layer_by_layer },
	  { "127 layers by mount(2) and relative names", mounts_by_relative_names },
	  { "127 layers whose names fit no page", mounts_names_that_fit_no_page },
	  { "layers with colon, comma and backslash in their names", mounts_names_with_a_meaning },
	  { "read-only without an upper directory", mounts_read_only_without_upper },
	  { "a failure names the layer or the target", tells_what_failed })
