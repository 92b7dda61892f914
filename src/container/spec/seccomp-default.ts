/**
 * The system calls that the RuntimeDefault profile allows, by what they are
 * for. It is the set that the peers agree on: everything an ordinary userland
 * needs, nothing that reaches the kernel's wider surface (mounting, namespaces,
 * keyrings, io_uring, module loading, tracing of the whole machine).
 *
 * Names that a libseccomp does not know are skipped by the runtimes, so calls
 * of newer kernels may stand here. 32-bit variants stand beside their 64-bit
 * twins: one profile serves all ABIs of an architecture.
 */

const names = (text: string): string[] => text.trim().split(/\s+/);

const OPEN_AND_DESCRIPTORS = names(`
  open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock ioctl
  memfd_create memfd_secret name_to_handle_at pipe pipe2 umask`);

const READ_AND_WRITE = names(`
  read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek
  sendfile sendfile64 splice tee vmsplice copy_file_range readahead
  sync syncfs fsync fdatasync sync_file_range fadvise64 fadvise64_64 fallocate
  truncate truncate64 ftruncate ftruncate64 cachestat
  io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64`);

const FILE_TREE = names(`
  access faccessat faccessat2 chdir fchdir getcwd mkdir mkdirat rmdir mknod mknodat
  link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat renameat2
  getdents getdents64 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark`);

const FILE_ATTRIBUTES = names(`
  stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx
  statfs statfs64 fstatfs fstatfs64 statmount listmount
  chmod fchmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchown fchown32 fchownat
  utime utimes futimesat utimensat utimensat_time64
  getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
  listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat`);

const MEMORY = names(`
  brk mmap mmap2 munmap mremap mprotect madvise msync mincore mseal map_shadow_stack
  mlock mlock2 mlockall munlock munlockall membarrier remap_file_pages
  pkey_alloc pkey_free pkey_mprotect process_mrelease`);

const PROCESSES = names(`
  fork vfork execve execveat exit exit_group wait4 waitid waitpid pause
  getpid getppid gettid getpgid getpgrp setpgid getsid setsid pidfd_open pidfd_send_signal
  prctl restart_syscall rseq set_tid_address get_thread_area set_thread_area
  get_robust_list set_robust_list futex futex_time64 futex_wait futex_wake futex_waitv futex_requeue`);

/** Free since Linux 4.8, where a tracer can no longer change a call after the filter has seen it. */
const TRACING = names('ptrace process_vm_readv process_vm_writev');

const IDENTITY = names(`
  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32
  getresuid getresuid32 getresgid getresgid32 getgroups getgroups32
  setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
  setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32
  setgroups setgroups32 capget capset`);

/** What a process uses to bind itself further; none of them takes a restriction away. */
const SELF_RESTRICTION = names(`
  seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
  lsm_get_self_attr lsm_set_self_attr lsm_list_modules`);

const SIGNALS = names(`
  kill tkill tgkill sigaltstack sigprocmask sigreturn signalfd signalfd4 uretprobe
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo`);

const WAITING = names(`
  poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 eventfd eventfd2
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old
  epoll_wait epoll_wait_old epoll_pwait epoll_pwait2`);

const SCHEDULING_AND_LIMITS = names(`
  sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr
  sched_getparam sched_setparam sched_getscheduler sched_setscheduler
  sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64
  getpriority setpriority ioprio_get ioprio_set getcpu
  getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname getrandom`);

/** adjtimex and its kin only read the clock without CAP_SYS_TIME; the kernel checks that itself. */
const TIME = names(`
  time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64
  clock_nanosleep clock_nanosleep_time64 clock_adjtime clock_adjtime64 adjtimex nanosleep alarm
  getitimer setitimer timer_create timer_delete timer_getoverrun
  timer_gettime timer_gettime64 timer_settime timer_settime64
  timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`);

/** All of the socket interface but socket(2) itself, which is allowed by address family. */
const SOCKETS = names(`
  socketpair socketcall bind listen accept accept4 connect shutdown
  getsockname getpeername getsockopt setsockopt
  send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64`);

const SYSTEM_V_AND_POSIX_IPC = names(`
  ipc semget semop semctl semtimedop semtimedop_time64 shmget shmat shmdt shmctl
  msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_notify mq_getsetattr
  mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64`);

/** Allowed whatever their arguments, in every container with the profile. */
export const ALWAYS_ALLOWED: readonly string[] = [
  ...OPEN_AND_DESCRIPTORS,
  ...READ_AND_WRITE,
  ...FILE_TREE,
  ...FILE_ATTRIBUTES,
  ...MEMORY,
  ...PROCESSES,
  ...TRACING,
  ...IDENTITY,
  ...SELF_RESTRICTION,
  ...SIGNALS,
  ...WAITING,
  ...SCHEDULING_AND_LIMITS,
  ...TIME,
  ...SOCKETS,
  ...SYSTEM_V_AND_POSIX_IPC,
];

/** Allowed besides when the container holds the capability: the kernel then checks it anyway. */
export const ALLOWED_BY_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: ['bpf'],
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_PERFMON: ['perf_event_open'],
  CAP_SYSLOG: ['syslog'],
  CAP_SYS_ADMIN: names(`
    mount umount umount2 mount_setattr move_mount open_tree fsopen fsmount fsconfig fspick
    clone clone3 unshare setns sethostname setdomainname
    bpf perf_event_open fanotify_init lookup_dcookie quotactl quotactl_fd syslog`),
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: names('init_module finit_module delete_module'),
  CAP_SYS_NICE: names('mbind get_mempolicy set_mempolicy set_mempolicy_home_node'),
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: names('kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace'),
  CAP_SYS_RAWIO: names('iopl ioperm'),
  CAP_SYS_TIME: names('settimeofday stime clock_settime clock_settime64'),
  CAP_SYS_TTY_CONFIG: ['vhangup'],
};

/** An architecture: its ABIs as libseccomp names them, and the calls that only it has. Keys are those of process.arch. */
interface Architecture {
  abis: readonly string[];
  allowed: readonly string[];
  /** Index of clone(2)'s flags, which one architecture has in second place. */
  cloneFlags: number;
}

const ARM_ONLY = names('arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls');

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: {
    abis: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    allowed: ['arch_prctl', 'modify_ldt'],
    cloneFlags: 0,
  },
  arm64: { abis: ['SCMP_ARCH_ARM', 'SCMP_ARCH_AARCH64'], allowed: ARM_ONLY, cloneFlags: 0 },
  arm: { abis: ['SCMP_ARCH_ARM'], allowed: ARM_ONLY, cloneFlags: 0 },
  ppc64: { abis: ['SCMP_ARCH_PPC64LE'], allowed: ['sync_file_range2', 'swapcontext'], cloneFlags: 0 },
  riscv64: { abis: ['SCMP_ARCH_RISCV64'], allowed: ['riscv_flush_icache', 'riscv_hwprobe'], cloneFlags: 0 },
  loong64: { abis: ['SCMP_ARCH_LOONGARCH64'], allowed: [], cloneFlags: 0 },
  s390x: {
    abis: ['SCMP_ARCH_S390', 'SCMP_ARCH_S390X'],
    allowed: names('s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr'),
    cloneFlags: 1,
  },
};
