import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestDaemon } from './daemon.ts';
import { tool } from './tools.ts';

export interface CrictlResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** crictl against one test daemon, with a configuration file of its own so that /etc/crictl.yaml says nothing. */
export class Crictl {
  readonly #program: string;
  readonly #config: string;
  readonly #directory: string;

  private constructor(program: string, config: string, directory: string) {
    this.#program = program;
    this.#config = config;
    this.#directory = directory;
  }

  static async for(daemon: TestDaemon): Promise<Crictl> {
    const config = join(daemon.directory, 'crictl.yaml');
    await writeFile(
      config,
      `runtime-endpoint: unix://${daemon.socket}\nimage-endpoint: unix://${daemon.socket}\ntimeout: 30\n`,
    );
    return new Crictl(await tool('crictl'), config, daemon.directory);
  }

  /** The whole command line, for who starts it otherwise. */
  line(...args: string[]): [program: string, args: string[]] {
    return [this.#program, ['--config', this.#config, ...args]];
  }

  /** Runs crictl; the exit code with all output, whatever it is. */
  try(...args: string[]): Promise<CrictlResult> {
    return new Promise((resolve) => {
      execFile(
        this.#program,
        ['--config', this.#config, ...args],
        { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
          resolve({ code, stdout, stderr });
        },
      );
    });
  }

  /** What crictl printed, without the last newline; throws where it fails. */
  async run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code !== 0) throw new Error(`crictl ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  /** What `crictl COMMAND -o json ...` printed. */
  async json<T>(command: string, ...args: string[]): Promise<T> {
    return JSON.parse(await this.run(command, '-o', 'json', ...args)) as T;
  }

  /** Writes a pod or container configuration where crictl can read it; its path. */
  async file(name: string, content: object): Promise<string> {
    const path = join(this.#directory, `${name}.json`);
    await writeFile(path, JSON.stringify(content));
    return path;
  }
}
