#include "sys.h"

#include <errno.h>
#include <sys/mount.h>

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	return mount(source, target, type, flags, data) < 0 ? -errno : 0;
}

int sys_umount(const char *target, int flags)
{
	return umount2(target, flags) < 0 ? -errno : 0;
}
