declare module '*/tar-stream/headers.js' {
  import type { Header } from 'tar-stream';

  const headers: {
    decodePax(block: Uint8Array): Record<string, string>;
    decode(block: Uint8Array, filenameEncoding: string, allowUnknownFormat: boolean): Header | null;
  };
  // biome-ignore lint/style/noDefaultExport: the shape of a CommonJS file
  export default headers;
}
