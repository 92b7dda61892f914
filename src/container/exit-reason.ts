/**
 * Why a container ended, in the words that the kubelet shows to users. The
 * kernel's OOM kill goes before the code: a process that a child's death took
 * down may end with any. `StartError` and `Unknown` are not derived here: the
 * one has no exit, of the other nothing is known.
 */
export function exitReason(exit: {
  exitCode: number;
  oomKilled: boolean;
}): 'Completed' | 'Error' | 'OOMKilled' {
  if (exit.oomKilled) return 'OOMKilled';
  return exit.exitCode === 0 ? 'Completed' : 'Error';
}
