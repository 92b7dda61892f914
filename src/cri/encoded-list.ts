/** Tag of field 1, length-delimited: where every List and Stream reply keeps its items. */
const ITEM_TAG = 0x0a;

/** Bytes after which a streamed list starts its next message: far below the 16 MiB that a kubelet takes. */
const BATCH_BYTES = 256 * 1024;

/** The handlers of a service of which those named `Bytes` answer bytes: see `listsAsBytes` in server.ts. */
export type WithBytes<Handlers, Bytes extends keyof Handlers> = Partial<Omit<Handlers, Bytes>> &
  Record<Bytes, unknown>;

/**
 * Reply bytes of a list whose items are rows. Rows are replaced when they change and never mutated, so the
 * bytes of a row are made once and live as long as the row; a poll of a thousand containers only joins them.
 */
export class EncodedList<Row extends object> {
  readonly #encode: (row: Row) => Uint8Array;
  readonly #items = new WeakMap<Row, Buffer>();

  /** `encode` gives the bytes of one item. */
  constructor(encode: (row: Row) => Uint8Array) {
    this.#encode = encode;
  }

  /** The bytes of a reply message that holds `rows` in this order. */
  join(rows: readonly Row[]): Buffer {
    return Buffer.concat(rows.map((row) => this.#item(row)));
  }

  /**
   * The bytes of the messages that together hold `rows`, in order: none for no rows, and none without an
   * item. A row is encoded when its message is asked for, so a slow reader keeps no more than one in memory.
   */
  *batches(rows: readonly Row[], limit = BATCH_BYTES): Generator<Buffer, void, void> {
    let batch: Buffer[] = [];
    let size = 0;
    for (const row of rows) {
      const item = this.#item(row);
      if (size > 0 && size + item.length > limit) {
        yield Buffer.concat(batch, size);
        batch = [];
        size = 0;
      }
      batch.push(item);
      size += item.length;
    }
    if (size > 0) yield Buffer.concat(batch, size);
  }

  #item(row: Row): Buffer {
    const known = this.#items.get(row);
    if (known !== undefined) return known;
    const body = this.#encode(row);
    const head = [ITEM_TAG, ...varint(body.length)];
    // Not from the shared pool: these bytes live long and would hold a whole slab each.
    const item = Buffer.allocUnsafeSlow(head.length + body.length);
    item.set(head);
    item.set(body, head.length);
    this.#items.set(row, item);
    return item;
  }
}

/** Base-128, least significant group first (protobuf encoding, "Base 128 Varints"). */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
