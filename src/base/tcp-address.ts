/** Parts of "127.0.0.1:0", "[::1]:8080" and ":0", which is all addresses. */
export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1') || '0.0.0.0',
    port: Number(address.slice(colon + 1)),
  };
}
