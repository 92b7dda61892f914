/** What the error stream of a remote command says when it is over: an exit code, or why there is none. */
export type Outcome = { exitCode: number } | { error: string };

/**
 * The bytes for the error stream. From v4 on it is a metav1.Status as JSON; before that a text, and nothing for
 * success (k8s.io/cri-streaming, package remotecommand).
 */
export function statusBytes(outcome: Outcome, format: 'json' | 'text'): Buffer {
  const status = statusOf(outcome);
  return Buffer.from(format === 'json' ? JSON.stringify(status) : (status.message ?? ''));
}

interface Status {
  metadata: object;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: { causes: { reason?: string; message: string }[] };
  code?: number;
}

function statusOf(outcome: Outcome): Status {
  if ('error' in outcome)
    return {
      metadata: {},
      status: 'Failure',
      message: outcome.error,
      reason: 'InternalError',
      details: { causes: [{ message: outcome.error }] },
      code: 500,
    };
  const { exitCode } = outcome;
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with exit code ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}
