import { Command, InvalidArgumentError, type Option } from 'commander';
import { VERSION } from '../base/version.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';
import type { ExecOptions } from './exec.ts';
import { imageStoreCommands } from './image-store-commands.ts';
import type { RunOptions } from './run-spec.ts';
import type { ServeOptions } from './serve.ts';

/** Takes the exit code of a command that has one of its own. */
type ExitWith = (code: number) => void;

/** The command line. Every command loads its own code only when it is called, so that `skiff ps` starts fast. */
export function program(exitWith: ExitWith): Command {
  const skiff = new Command('skiff')
    .description('A container runtime that a kubelet drives over CRI, and a client of it.')
    .version(VERSION, '-V, --version')
    .option(
      '--state <dir>',
      "directory of the daemon's sockets (default: $SKIFF_STATE, else as configured)",
      '',
    )
    .option('--config <file>', 'configuration file (default: /etc/skiff/config.toml)', '')
    .enablePositionalOptions()
    .showHelpAfterError('(add -h for help)')
    .configureHelp({ optionDescription: describeOption })
    .addHelpText('after', EXIT_CODES);
  serveCommand(skiff);
  runCommands(skiff, exitWith);
  listCommands(skiff, exitWith);
  imageCommands(skiff);
  lifeCommands(skiff);
  hostCommands(skiff, exitWith);
  configCommands(skiff);
  return skiff;
}

const EXIT_CODES = `
Exit codes: 0 done; 1 failed; 2 wrong usage. "run" and "exec" pass on the code of
their command; what they fail at themselves is 125, a command that cannot be run
126, one that is not there 127, an exec past its --timeout 124.`;

function serveCommand(skiff: Command): void {
  skiff
    .command('serve')
    .description('run the daemon in the foreground, until SIGTERM or Ctrl-C; containers run on')
    .option(
      '--config <file>',
      'configuration file (default: /etc/skiff/config.toml); drop-ins are read from config.d beside it',
      '',
    )
    .option('--root <dir>', 'directory of what is kept (overrides the file)', '')
    .option('--state <dir>', 'directory of the sockets (overrides the file)', '')
    .option('--log-level <level>', 'trace, debug, info, warn, error or fatal (overrides the file)', '')
    .addHelpText('after', examples('skiff serve', 'skiff serve --config ./test.toml --log-level debug'))
    .action(async (options: ServeOptions) => {
      const outer = skiff.opts<DaemonOptions>();
      const { serve } = await import('./serve.ts');
      await serve({
        ...options,
        config: options.config || outer.config,
        state: options.state || outer.state,
      });
    });
}

function runCommands(skiff: Command, exitWith: ExitWith): void {
  skiff
    .command('run <image> [cmd...]')
    .description(
      'run a command in a pod of its own; shows its output, passes its exit code on, removes all at the end',
    )
    .option('-e, --env <key=value>', "environment variable; KEY alone takes the caller's value", collect, [])
    .option('-v, --volume <host:container[:ro]>', 'mount a directory or file of the host', collect, [])
    .option(
      '-p, --publish <[address:]host:container[/protocol]>',
      'port of the host that leads to one of the pod',
      collect,
      [],
    )
    .option('--name <name>', 'name of the pod (default: a random one)', '')
    .option('--host-network', 'use the network of the host', false)
    .option('--runtime <handler>', 'runtime handler, such as crun (default: as configured)', '')
    .option('-i, --interactive', "give it this command's stdin", false)
    .option('-t, --tty', 'give it a terminal', false)
    .option('-d, --detach', 'print the container id and leave the pod running', false)
    .option('--rm', 'remove the pod at the end; always so without -d')
    .passThroughOptions()
    .addHelpText(
      'after',
      examples(
        'skiff run busybox -- echo hello',
        'skiff run -d --name web -p 8080:80 nginx',
        'skiff run -it busybox -- sh',
        'skiff run -v .:/src:ro -e DEBUG=1 busybox -- ls /src',
      ),
    )
    .action(async (image: string, cmd: string[], options: RunOptions) => {
      const { run } = await import('./run.ts');
      exitWith(await run(await daemon(skiff), image, command(cmd), options));
    });
  skiff
    .command('exec <container> <cmd...>')
    .description('run a command in a running container; shows its output, passes its exit code on')
    .option('-i, --interactive', "give it this command's stdin", false)
    .option('-t, --tty', 'give it a terminal', false)
    .option('--timeout <seconds>', 'kill the command after so long; 0 = never', wholeNumber, 0)
    .passThroughOptions()
    .addHelpText('after', examples('skiff exec web -- cat /etc/hostname', 'skiff exec -it web -- sh'))
    .action(async (name: string, cmd: string[], options: ExecOptions) => {
      const { exec } = await import('./exec.ts');
      exitWith(await exec(await daemon(skiff), name, command(cmd), options));
    });
  skiff
    .command('port-forward <pod> <port...>')
    .description('lead ports of this host to ports of a pod, until Ctrl-C; PORT is [LOCAL:]PORT')
    .option('--address <address>', 'address of this host to listen on (default: 127.0.0.1)', '127.0.0.1')
    .addHelpText('after', examples('skiff port-forward web 8080:80', 'skiff port-forward web :80'))
    .action(async (name: string, ports: string[], options: { address: string }) => {
      const { portForward } = await import('./port-forward.ts');
      await portForward(await daemon(skiff), name, ports, options);
    });
  skiff
    .command('logs <container>')
    .description('show the output of a container')
    .option('-f, --follow', 'go on until the container ends, across rotations', false)
    .option('--tail <lines>', 'only the last lines', wholeNumber)
    .option('-t, --timestamps', 'put the time before each line', false)
    .addHelpText('after', examples('skiff logs web', 'skiff logs -f --tail 10 web'))
    .action(async (name: string, options: { follow: boolean; tail?: number; timestamps: boolean }) => {
      const { logs } = await import('./logs.ts');
      await logs(await daemon(skiff), name, options);
    });
}

function listCommands(skiff: Command, exitWith: ExitWith): void {
  const list = (name: string, description: string) =>
    skiff
      .command(name)
      .description(description)
      .option('-q, --quiet', 'only ids', false)
      .option('--json', 'everything, as JSON', false);
  list('ps', 'list running containers')
    .option('-a, --all', 'also those that do not run', false)
    .addHelpText('after', examples('skiff ps', 'skiff ps -a', 'skiff ps -q'))
    .action(async (options) => (await import('./ps.ts')).ps(await daemon(skiff), options));
  list('pods', 'list pods')
    .option('-a, --all', 'also those that are not ready', false)
    .addHelpText('after', examples('skiff pods -a'))
    .action(async (options) => (await import('./ps.ts')).pods(await daemon(skiff), options));
  const images = list('images', 'list images, or do one of the things below with them')
    .addHelpText('after', examples('skiff images'))
    .action(async (options) => (await import('./images.ts')).images(await daemon(skiff), options));
  imageStoreCommands(images, { daemon: () => daemon(skiff), exitWith, examples });
}

function imageCommands(skiff: Command): void {
  skiff
    .command('pull <image>')
    .description('fetch an image from its registry; prints its id')
    .option('-q, --quiet', 'no progress', false)
    .addHelpText('after', examples('skiff pull busybox', 'skiff pull registry.example:5000/app@sha256:...'))
    .action(async (image, options) => (await import('./pull.ts')).pull(await daemon(skiff), image, options));
  skiff
    .command('rmi <image...>')
    .description('remove images by name, digest or id')
    .addHelpText('after', examples('skiff rmi busybox'))
    .action(async (references) => (await import('./images.ts')).rmi(await daemon(skiff), references));
}

function lifeCommands(skiff: Command): void {
  skiff
    .command('stop <name...>')
    .description('stop containers, or pods with all their containers')
    .option('-t, --timeout <seconds>', 'how long to wait before SIGKILL', wholeNumber, 10)
    .addHelpText('after', examples('skiff stop web', 'skiff stop -t 0 3f2a'))
    .action(async (names, options) => (await import('./stop.ts')).stop(await daemon(skiff), names, options));
  skiff
    .command('rm <name...>')
    .description('remove containers, or pods with all their containers')
    .option('-f, --force', 'also what is running', false)
    .addHelpText('after', examples('skiff rm web', 'skiff rm -f 3f2a'))
    .action(async (names, options) =>
      (await import('./stop.ts')).remove(await daemon(skiff), names, options),
    );
  skiff
    .command('inspect <name>')
    .description('everything about a container, pod or image, as JSON')
    .addHelpText('after', examples('skiff inspect web'))
    .action(async (name) => (await import('./inspect.ts')).inspect(await daemon(skiff), name));
  skiff
    .command('stats [container]')
    .description('processor, memory and disk use of running containers')
    .option('--json', 'everything, as JSON', false)
    .addHelpText('after', examples('skiff stats', 'skiff stats web'))
    .action(async (name, options) => (await import('./stats.ts')).stats(await daemon(skiff), name, options));
  skiff
    .command('events [subject]')
    .description(
      'what happened to pods, containers and images; SUBJECT is a name, the start of an id, or an image',
    )
    .option('-f, --follow', 'go on with what happens', false)
    .option('--since <time>', 'such as 10m or 2030-01-31T12:00:00Z', '')
    .option('--json', 'one JSON object per line', false)
    .addHelpText('after', examples('skiff events --since 10m', 'skiff events -f'))
    .action(async (subject, options) =>
      (await import('./events.ts')).events(await daemon(skiff), subject ?? '', options),
    );
}

function hostCommands(skiff: Command, exitWith: ExitWith): void {
  skiff
    .command('doctor')
    .description('check what this host offers to containers, and say what to do about what is missing')
    .option('--json', 'as JSON', false)
    .addHelpText('after', examples('skiff doctor'))
    .action(async (options) => {
      const { doctor } = await import('./doctor.ts');
      exitWith(await doctor(await daemon(skiff), skiff.opts<DaemonOptions>().config, options));
    });
  skiff
    .command('version')
    .description('versions of this program and of the daemon')
    .addHelpText('after', examples('skiff version'))
    .action(async () => (await import('./version.ts')).version(await daemon(skiff)));
}

function configCommands(skiff: Command): void {
  const config = skiff
    .command('config')
    .description('show and check the configuration')
    .addHelpText('after', examples('skiff config check', 'skiff config default > /etc/skiff/config.toml'));
  const file = () => skiff.opts<DaemonOptions>().config || undefined;
  config
    .command('default')
    .description('a file with every key, its default and its meaning')
    .addHelpText('after', examples('skiff config default > /etc/skiff/config.toml'))
    .action(async () => (await import('./config.ts')).configDefault());
  config
    .command('check [file]')
    .description('is the configuration valid? (default: /etc/skiff/config.toml and its drop-ins)')
    .addHelpText('after', examples('skiff config check', 'skiff config check ./test.toml'))
    .action(async (name) => (await import('./config.ts')).configCheck(name ?? file()));
  config
    .command('show [file]')
    .description('what file and drop-ins come to')
    .option('--running', 'what the running daemon uses', false)
    .addHelpText('after', examples('skiff config show', 'skiff config show --running'))
    .action(async (name, options) =>
      (await import('./config.ts')).configShow(await daemon(skiff), name ?? file(), options),
    );
  config
    .command('reference')
    .description('all keys as a markdown table')
    .addHelpText('after', examples('skiff config reference > keys.md'))
    .action(async () => (await import('./config.ts')).configReference());
  config
    .command('reload')
    .description('make the daemon read its files again, as SIGHUP does')
    .addHelpText('after', examples('skiff config reload'))
    .action(async () => (await import('./config.ts')).configReload(await daemon(skiff)));
}

/** The words after the image or container; `--` before them is allowed, and part of them where it stands later. */
function command(words: string[]): string[] {
  return words[0] === '--' ? words.slice(1) : words;
}

function daemon(skiff: Command): Promise<Daemon> {
  return Daemon.locate(skiff.opts<DaemonOptions>());
}

/** Defaults that say nothing ('' and false) are left out; the texts tell those that are worked out. */
function describeOption({ description, defaultValue }: Option): string {
  return `${description}${typeof defaultValue === 'number' ? ` (default: ${defaultValue})` : ''}`;
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}
