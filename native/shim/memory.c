#define _GNU_SOURCE
#include "memory.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int unmap_clean(struct dl_phdr_info *info, size_t size, void *data)
{
  (void)size;
  (void)data;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0)
      continue;
    uintptr_t start = (info->dlpi_addr + part->p_vaddr) & ~page;
    uintptr_t end = (info->dlpi_addr + part->p_vaddr + part->p_memsz + page) & ~page;
    madvise((void *)start, end - start, MADV_DONTNEED);
  }
  return 0;
}

void forget_clean_pages(void)
{
  dl_iterate_phdr(unmap_clean, NULL);
}
