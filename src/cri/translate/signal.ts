import { Signal } from '../gen/runtime/v1/Signal.ts';

/**
 * The name of a signal by its CRI enum value: `SIGTERM`, `SIGRTMIN+3`; '' for the default and for one that
 * this proto does not know.
 */
export function signalName(value: string | number): string {
  if (!Object.hasOwn(Signal, value) || value === 'SIGNAL_RUNTIME_DEFAULT') return '';
  return String(value).slice('SIGNAL_'.length).replace('RTMINPLUS', 'RTMIN+').replace('RTMAXMINUS', 'RTMAX-');
}

/** The CRI enum value of a signal's name; the default where CRI has none for it. */
export function signalMessage(name: string): Signal {
  const upper = name.toUpperCase();
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const key = `SIGNAL_${full.replace('RTMIN+', 'RTMINPLUS').replace('RTMAX-', 'RTMAXMINUS')}`;
  return isSignal(key) ? key : 'SIGNAL_RUNTIME_DEFAULT';
}

function isSignal(key: string): key is keyof typeof Signal {
  return Object.hasOwn(Signal, key);
}
