#include "sys.h"

#include <malloc.h>

/* What a read from a socket takes, and so nearly all that comes and goes while an image is pulled. */
#define CHUNK (64 * 1024)

enum { ARENAS = 2 };

void sys_memory_init(void)
{
	/*
	 * By default the C library raises these two by itself and keeps one arena per thread: what many threads have freed
	 * by turns then stays with the process. So chunks go back to the kernel when they are freed.
	 */
	mallopt(M_MMAP_THRESHOLD, CHUNK);
	mallopt(M_TRIM_THRESHOLD, 2 * CHUNK);
	mallopt(M_ARENA_MAX, ARENAS);
}
