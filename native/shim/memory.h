/* Keeping an idle process small. */
#pragma once

/**
 * Unmaps the program's clean pages; what is needed again comes from the page
 * cache. A static libc maps 600 KiB while it starts, and a process that waits
 * for the end of a container needs a tenth of it.
 */
void forget_clean_pages(void);
