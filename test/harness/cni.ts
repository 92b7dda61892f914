import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where host-local keeps the addresses that it gave out, one directory per network. */
export const ADDRESSES = '/var/lib/cni/networks';

/** The network of the tests' pods. */
export const NETWORK = { name: 'skiff-test', bridge: 'sktest0', subnet: '10.99.0.0/16' } as const;

/** Writes a bridge network with port mappings, then `further` plugins, as the only configuration in `confDir`. */
export async function writeNetwork(confDir: string, further: object[] = []): Promise<void> {
  await mkdir(confDir, { recursive: true });
  const list = {
    cniVersion: '1.0.0',
    name: NETWORK.name,
    plugins: [
      {
        type: 'bridge',
        bridge: NETWORK.bridge,
        isGateway: true,
        ipMasq: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: NETWORK.subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
      ...further,
    ],
  };
  await writeFile(join(confDir, '10-test.conflist'), JSON.stringify(list));
}
