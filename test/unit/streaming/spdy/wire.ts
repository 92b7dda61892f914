/**
 * Frames as github.com/moby/spdystream v0.5.1 wrote them: one session of Kubernetes' own library, in order, because the
 * headers of all of them are one zlib stream.
 */
export const WIRE = {
  /** stream 1, streamtype: error */
  syn1: '80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff',
  /** stream 3, priority 5, streamtype: stdin */
  syn3: '80030001000000170000000300000000a000c22e555c92929907000000ffff',
  /** stream 5, FIN, streamtype: data, port: 8080, requestid: 7 */
  syn5: '800300010100002f00000005000000000000022555060606ce2248ac6682523ba33986625091940829dd8bc019c9c2c0c200000000ffff',
  /** stream 1, no headers */
  reply: '800300020000000e000000016260606000000000ffff',
  /** stream 3, FIN, a: b and c */
  headers: '800300080100001300000003821acd0892644e624806000000ffff',
  /** stream 3, CANCEL */
  rst: '80030003000000080000000300000005',
  ping: '800300060000000400000001',
  /** last good stream 5, PROTOCOL_ERROR */
  goAway: '80030007000000080000000500000001',
  /** setting 4 is 100, with flag 1 */
  settings: '800300040000000c000000010100000400000064',
  /** stream 3, 65536 */
  window: '80030009000000080000000300010000',
  /** stream 3, FIN, "hello" */
  data: '000000030100000568656c6c6f',
} as const;

export function bytes(...names: (keyof typeof WIRE)[]): Buffer {
  return Buffer.from(names.map((name) => WIRE[name]).join(''), 'hex');
}
