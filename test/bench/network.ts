import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Writes the network configuration that every contestant gets, but for bridge and subnet; the directory. */
export async function writeNetwork(
  confDir: string,
  options: { subnet: string; bridge: string },
): Promise<string> {
  await mkdir(confDir, { recursive: true });
  const list = {
    cniVersion: '1.0.0',
    name: options.bridge,
    plugins: [
      {
        type: 'bridge',
        bridge: options.bridge,
        isGateway: true,
        ipMasq: true,
        // Known from plugins 1.7 on; older ones take iptables.
        ipMasqBackend: 'nftables',
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: options.subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  await writeFile(join(confDir, '10-bench.conflist'), JSON.stringify(list, null, 2));
  return confDir;
}
