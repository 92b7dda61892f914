/** Inserts rows for ever and prints the number of each one that was acknowledged; killed by its test. */
import { StateStore } from '../../../src/base/state-store.ts';

const store = await StateStore.open(process.argv[2]!);
const rows = store.rows<{ id: string; n: number }>('containers');
for (let n = 1; ; n += 1) {
  await rows.insert({ id: `row-${n}`, n }, { subject: `row-${n}`, what: 'created' });
  process.stdout.write(`${n}\n`);
}
