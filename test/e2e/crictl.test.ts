import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Crictl } from '../harness/crictl.ts';
import { TestDaemon } from '../harness/daemon.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { busyboxImage, TestRegistry } from '../harness/registry.ts';

/** A pod's whole life, driven by crictl as its manual tells; each test is the next step of it. */
describe('crictl', () => {
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let crictl: Crictl;
  let image: string;
  let digest: string;
  let start: Inventory;
  let podFile: string;
  let webFile: string;
  let pod: string;
  let web: string;

  before(async () => {
    const layouts = await mkdtemp(join(tmpdir(), 'sk-image-'));
    registry = await TestRegistry.start();
    digest = await registry.push(await busyboxImage(layouts), 'busybox:1');
    await rm(layouts, { recursive: true });
    image = `${registry.host}/busybox:1`;
    daemon = await TestDaemon.start();
    crictl = await Crictl.for(daemon);
    start = await takeInventory(daemon);
    podFile = await crictl.file('pod', podConfig(daemon, 'web'));
    webFile = await crictl.file(
      'web',
      containerConfig('web', image, ['/bin/sh', '-c', 'echo started; exec httpd -f -p 80 -h /www']),
    );
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await registry.stop();
  });

  it('info says that runtime and network are ready', async () => {
    const { status } = await crictl.json<{ status: { conditions: { type: string; status: boolean }[] } }>(
      'info',
    );
    const ready = status.conditions.filter((one) => ['RuntimeReady', 'NetworkReady'].includes(one.type));
    assert.deepEqual(
      ready.map((one) => one.status),
      [true, true],
      await daemon.logTail(),
    );
  });

  it('pull fetches an image by tag', async () => {
    assert.match(await crictl.run('pull', image), /Image is up to date for /);
  });

  it('images and inspecti show it', async () => {
    const { images } = await crictl.json<{ images: { repoTags: string[]; repoDigests: string[] }[] }>(
      'images',
    );
    assert.deepEqual(
      images.map((one) => one.repoTags),
      [[image]],
    );
    assert.deepEqual(images[0]?.repoDigests, [`${registry.host}/busybox@${digest}`]);
    const { status } = await crictl.json<{ status: { size: string } }>('inspecti', image);
    assert.ok(Number(status.size) > 100_000);
  });

  it('runp starts a pod, with an address', async () => {
    pod = await crictl.run('runp', podFile);
    const { status } = await crictl.json<{ status: { state: string; network: { ip: string } } }>(
      'inspectp',
      pod,
    );
    assert.equal(status.state, 'SANDBOX_READY');
    assert.match(status.network.ip, /^10\.99\.0\.\d+$/);
  });

  it('create and start run a container in it', async () => {
    web = await crictl.run('create', pod, webFile, podFile);
    const states = async () =>
      (await crictl.json<{ containers: { id: string; state: string }[] }>('ps', '-a')).containers.map(
        (one) => one.state,
      );
    assert.deepEqual(await states(), ['CONTAINER_CREATED']);
    assert.equal(await crictl.run('start', web), web);
    assert.deepEqual(await states(), ['CONTAINER_RUNNING']);
  });

  it('the container answers on its address', async () => {
    const { status } = await crictl.json<{ status: { network: { ip: string } } }>('inspectp', pod);
    assert.equal(await httpGet(`http://${status.network.ip}/`), 'hello from skiff\n');
  });

  it('pods and ps find them by the start of an id, by name and by state', async () => {
    assert.equal(await crictl.run('pods', '-q', '--id', pod.slice(0, 8)), pod);
    assert.equal(await crictl.run('pods', '-q', '--name', 'web', '--state', 'ready'), pod);
    assert.equal(await crictl.run('pods', '-q', '--state', 'notready'), '');
    assert.equal(await crictl.run('ps', '-q', '--pod', pod.slice(0, 8)), web);
    assert.equal(await crictl.run('ps', '-q', '--state', 'exited', '-a'), '');
  });

  it('inspect tells process, log and times', async () => {
    const { status, info } = await crictl.json<{
      status: { state: string; logPath: string; imageRef: string; startedAt: string };
      info: { pid: number };
    }>('inspect', web);
    assert.equal(status.state, 'CONTAINER_RUNNING');
    assert.equal(status.logPath, join(daemon.logs, 'web', 'web.log'));
    assert.ok(Date.now() - Date.parse(status.startedAt) < 60_000);
    assert.ok(info.pid > 1);
  });

  it('exec --sync passes output and exit code on', async () => {
    assert.equal(await crictl.run('exec', '--sync', web, 'hostname'), 'web');
    const { code, stderr } = await crictl.try('exec', '--sync', web, 'sh', '-c', 'echo bad >&2; exit 3');
    assert.notEqual(code, 0);
    assert.match(stderr, /bad/);
    assert.match(stderr, /3/);
  });

  it('exec --sync past its timeout ends the command', async () => {
    const { code, stderr } = await crictl.try('exec', '--sync', '--timeout', '1', web, 'sleep', '4217');
    assert.notEqual(code, 0);
    assert.match(stderr, /DeadlineExceeded/);
    assert.doesNotMatch(await crictl.run('exec', '--sync', web, 'ps'), /4217/);
  });

  it('logs shows what it wrote', async () => {
    assert.equal(await crictl.run('logs', web), 'started');
  });

  it('stats and statsp know the container and the pod', async () => {
    const { stats } = await crictl.json<{ stats: { attributes: { id: string } }[] }>('stats');
    assert.deepEqual(
      stats.map((one) => one.attributes.id),
      [web],
    );
    const pods = await crictl.json<{ stats: { attributes: { id: string } }[] }>('statsp');
    assert.deepEqual(
      pods.stats.map((one) => one.attributes.id),
      [pod],
    );
  });

  it('stop ends the container; a second one has nothing to do', async () => {
    await crictl.run('stop', '--timeout', '1', web);
    await crictl.run('stop', web);
    const { status } = await crictl.json<{ status: { state: string; exitCode: number } }>('inspect', web);
    assert.equal(status.state, 'CONTAINER_EXITED');
    assert.equal(await crictl.run('logs', web), 'started');
  });

  it('rm, stopp, rmp and rmi take everything away, and again without harm', async () => {
    await crictl.run('rm', web);
    await crictl.run('stopp', pod);
    await crictl.run('stopp', pod);
    await crictl.run('rmp', pod);
    await crictl.run('rmi', image);
    assert.equal(await crictl.run('ps', '-aq'), '');
    assert.equal(await crictl.run('pods', '-q'), '');
    assert.equal(await crictl.run('images', '-q'), '');
    assert.notEqual((await crictl.try('inspect', web)).code, 0);
  });

  it('leaves no process, mount, namespace, address, cgroup, file or row', async () => {
    assert.deepEqual(await leaks(daemon, start), []);
  });
});

function httpGet(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { timeout: 5000 }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
