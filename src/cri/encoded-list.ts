/** Tag of field 1, length-delimited: where both ListContainers and ListPodSandbox keep their items. */
const ITEM_TAG = 0x0a;

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
