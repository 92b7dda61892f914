#define _GNU_SOURCE
#include "commands.h"
#include "shim.h"

#include <fcntl.h>
#include <string.h>

static const char help[] =
  "usage: skiff-shim run --id ID --bundle DIR --exit-file FILE [options] -- RUNTIME [ARG ...]\n"
  "       skiff-shim init [--net FILE] [--ipc FILE] [--uts FILE] [--cgroup DIR]\n"
  "                  [--pid-file FILE]\n"
  "       skiff-shim -h\n"
  "\n"
  "run    The parent of one container. Starts it with RUNTIME (an OCI runtime and\n"
  "       its global arguments), reports {\"pid\":N} or {\"error\":\"...\",\"exit\":N} on\n"
  "       fd 3, keeps its stdio and log, serves ./shim.sock (protocol.h), and when\n"
  "       it has ended writes the exit record and ends too. The working directory\n"
  "       is the container's state directory. SIGUSR1 gives a start up.\n"
  "  --log FILE      CRI log; without it the output is discarded\n"
  "  --max-line N    longest log line, 16384; 0 = no limit of its own\n"
  "  --tty           the container has a terminal\n"
  "  --stdin         the container's stdin is a pipe, not /dev/null\n"
  "  --stdin-once    the first attached stdin that ends closes it\n"
  "\n"
  "init   Pid 1 for a PID namespace that a pod shares: enters the given namespaces\n"
  "       and cgroup, makes the PID namespace, reports the pid of its init on fd 3,\n"
  "       after it has written it to the pid file.\n";

static int usage(const char *problem)
{
  if (problem != NULL) {
    write_all(STDERR_FILENO, problem, strlen(problem));
    write_all(STDERR_FILENO, "\n", 1);
  }
  write_all(problem == NULL ? STDOUT_FILENO : STDERR_FILENO, help, sizeof(help) - 1);
  return problem == NULL ? 0 : 2;
}

struct flag {
  const char *name;
  bool *flag;
  const char **value;
};

/* Reads flags up to "--" or the end; the index after them, -1 where one is not known or lacks its value. */
static int parse(char **argv, const struct flag *flags)
{
  int at = 0;
  for (; argv[at] != NULL && strcmp(argv[at], "--") != 0; at++) {
    const struct flag *flag = flags;
    while (flag->name != NULL && strcmp(flag->name, argv[at]) != 0)
      flag++;
    if (flag->name == NULL || (flag->value != NULL && argv[at + 1] == NULL))
      return -1;
    if (flag->flag != NULL)
      *flag->flag = true;
    else
      *flag->value = argv[++at];
  }
  return argv[at] == NULL ? at : at + 1;
}

static int parse_run(char **argv)
{
  const char *max_line = "16384";
  struct options options = {.log = ""};
  const struct flag flags[] = {
    {"--id", NULL, &options.id},
    {"--bundle", NULL, &options.bundle},
    {"--exit-file", NULL, &options.exit_file},
    {"--log", NULL, &options.log},
    {"--max-line", NULL, &max_line},
    {"--tty", &options.tty, NULL},
    {"--stdin", &options.stdin_open, NULL},
    {"--stdin-once", &options.stdin_once, NULL},
    {0},
  };
  int after = parse(argv, flags);
  if (after < 0)
    return usage("skiff-shim run: an option is not known or lacks its value");
  if (options.id == NULL || options.bundle == NULL || options.exit_file == NULL || argv[after] == NULL)
    return usage("skiff-shim run: --id, --bundle, --exit-file and RUNTIME are needed");
  options.runtime = argv + after;
  options.max_line = strtol(max_line, NULL, 10);
  return run_command(&options);
}

static int parse_init(char **argv)
{
  struct pod_init options = {0};
  const struct flag flags[] = {
    {"--net", NULL, &options.net},
    {"--ipc", NULL, &options.ipc},
    {"--uts", NULL, &options.uts},
    {"--cgroup", NULL, &options.cgroup},
    {"--pid-file", NULL, &options.pid_file},
    {0},
  };
  if (parse(argv, flags) < 0)
    return usage("skiff-shim init: an option is not known or lacks its value");
  return init_command(&options);
}

/* Descriptors 0 to 2 must be taken, or a pipe of the container's would get one of these numbers. */
static void fill_stdio(void)
{
  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0)
      open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
  if (argc == 1 && getpid() == 1 && strcmp(argv[0], INIT_NAME) == 0)
    return init_main();
  fill_stdio();
  if (argc < 2)
    return usage("skiff-shim: a command is needed");
  if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
    return usage(NULL);
  if (strcmp(argv[1], "run") == 0)
    return parse_run(argv + 2);
  if (strcmp(argv[1], "init") == 0)
    return parse_init(argv + 2);
  return usage("skiff-shim: no such command");
}
