import { type Logger, pino } from 'pino';

/** The logger that every part takes: `log.info({ id }, 'what happened')`. */
export type Log = Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Field names whose values never reach a log, at any of the depths where credentials travel. */
const SECRET_FIELDS = ['password', 'auth', 'identityToken', 'registryToken', 'authorization', 'token'];
const REDACT = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** A JSON-lines logger on `fd` (2 = stderr), with credentials redacted. */
export function createLog(level: LogLevel, fd = 2): Log {
  return pino(
    { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime, redact: REDACT },
    pino.destination({ fd, sync: true }),
  );
}

/** A logger that says nothing, for tests and for the CLI. */
export function silentLog(): Log {
  return pino({ level: 'silent' });
}
