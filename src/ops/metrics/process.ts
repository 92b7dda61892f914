import type { Family } from './exposition.ts';

/**
 * What every Prometheus client tells of its process, under the names that dashboards know: `process_` as
 * "Writing client libraries" has them, `nodejs_` as the client for Node.js does. Bytes and seconds.
 */
export function processFamilies(): Family[] {
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  return [
    one(
      'process_cpu_seconds_total',
      'counter',
      'CPU time in user and system mode.',
      (cpu.user + cpu.system) / 1e6,
    ),
    one(
      'process_start_time_seconds',
      'gauge',
      'Start of the process since the epoch.',
      performance.timeOrigin / 1000,
    ),
    one('process_resident_memory_bytes', 'gauge', 'Resident memory.', memory.rss),
    one('nodejs_heap_size_total_bytes', 'gauge', "Memory taken for V8's heap.", memory.heapTotal),
    one('nodejs_heap_size_used_bytes', 'gauge', "Memory used of V8's heap.", memory.heapUsed),
    one('nodejs_external_memory_bytes', 'gauge', 'Memory of objects outside the heap.', memory.external),
  ];
}

function one(name: string, type: Family['type'], help: string, value: number): Family {
  return { name, help, type, samples: [{ value }] };
}
