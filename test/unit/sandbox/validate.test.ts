import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, SkiffError } from '../../../src/base/errors.ts';
import type { NamespaceOptions, SandboxConfig } from '../../../src/sandbox/types.ts';
import { validateSandbox } from '../../../src/sandbox/validate.ts';
import { sandboxConfig } from './config.ts';

const METADATA = sandboxConfig().metadata;
const PORT = { protocol: 'tcp' as const, containerPort: 80, hostPort: 8080, hostIp: '' };
const DNS = { servers: [], searches: [], options: [] };

describe('validateSandbox', () => {
  const good: [name: string, changes: Partial<SandboxConfig>, namespaces?: Partial<NamespaceOptions>][] = [
    ['the least', {}],
    ['all of the node', {}, { network: 'node', pid: 'node', ipc: 'node' }],
    ['a user namespace of the node', {}, { userns: { mode: 'node', uids: [], gids: [] } }],
    ['a host name of 64 bytes', { hostname: 'x'.repeat(64) }],
    ['a zoned server', { dns: { ...DNS, servers: ['fe80::1%eth0'] } }],
    ['no host port', { portMappings: [{ ...PORT, hostPort: 0 }] }],
  ];
  for (const [name, changes, namespaces] of good)
    it(`takes ${name}`, () => assert.doesNotThrow(() => validateSandbox(sandboxConfig(changes, namespaces))));

  const wrong: [
    field: RegExp,
    changes: Partial<SandboxConfig>,
    namespaces?: Partial<NamespaceOptions>,
    code?: ErrorCode,
  ][] = [
    [/^metadata\.name: must be set/, { metadata: { ...METADATA, name: '' } }],
    [/^metadata\.namespace/, { metadata: { ...METADATA, namespace: '' } }],
    [/^metadata\.uid/, { metadata: { ...METADATA, uid: '' } }],
    [/^metadata\.name/, { metadata: { ...METADATA, name: 'a;b=c' } }],
    [/^metadata\.namespace: "a\/b" holds/, { metadata: { ...METADATA, namespace: 'a/b' } }],
    [/^hostname: .* more than 64 bytes/, { hostname: 'é'.repeat(33) }],
    [/^hostname/, { hostname: 'a b' }],
    [/^log_directory/, { logDirectory: 'logs' }],
    [/^log_directory/, { logDirectory: '/logs\0' }],
    [/namespace_options\.network: CONTAINER/, {}, { network: 'container' }],
    [/namespace_options\.ipc/, {}, { ipc: 'target' }],
    [/namespace_options\.pid/, {}, { pid: 'target' }],
    [/userns_options/, {}, { userns: { mode: 'pod', uids: [], gids: [] } }, 'unimplemented'],
    [/^dns_config\.servers: "dns\.example"/, { dns: { ...DNS, servers: ['dns.example'] } }],
    [/^dns_config\.searches/, { dns: { ...DNS, searches: ['a\nnameserver 6.6.6.6'] } }],
    [/^dns_config\.options/, { dns: { ...DNS, options: ['a b'] } }],
    [/^port_mappings\.host_port/, { portMappings: [{ ...PORT, hostPort: 70_000 }] }],
    [/^port_mappings\.container_port/, { portMappings: [{ ...PORT, containerPort: -1 }] }],
    [/^port_mappings\.host_ip/, { portMappings: [{ ...PORT, hostIp: 'localhost' }] }],
    [/^linux\.sysctls/, { sysctls: { 'vm.swappiness': '1' } }],
  ];
  for (const [field, changes, namespaces, code = 'invalid_argument'] of wrong)
    it(`refuses ${field}`, () => {
      assert.throws(
        () => validateSandbox(sandboxConfig(changes, namespaces)),
        (error) => error instanceof SkiffError && error.code === code && field.test(error.message),
      );
    });
});
