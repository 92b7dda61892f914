import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findContainer, findTarget, type Inventory } from '../../../src/cli/names.ts';

function pod(id: string, name: string, namespace = 'default') {
  return {
    id,
    metadata: { name, namespace, uid: id, attempt: 0 },
    state: 'SANDBOX_READY' as const,
    created_at: '1',
    labels: {},
    annotations: {},
    runtime_handler: '',
  };
}

function container(id: string, name: string, podId: string, attempt = 0) {
  return {
    id,
    pod_sandbox_id: podId,
    metadata: { name, attempt },
    image: null,
    image_ref: '',
    state: 'CONTAINER_RUNNING' as const,
    created_at: '1',
    labels: {},
    annotations: {},
    image_id: '',
  };
}

/** Newest first, as inventory() gives it. */
const all: Inventory = {
  pods: [pod('a1', 'web'), pod('a2', 'db'), pod('a3', 'db', 'other'), pod('a4', 'twins')],
  containers: [
    container('c3', 'web', 'a1', 1),
    container('c2', 'web', 'a1', 0),
    container('c4', 'postgres', 'a2'),
    container('d1', 'left', 'a4'),
    container('d2', 'right', 'a4'),
    container('e1', 'proxy', 'a1'),
    container('e2', 'proxy', 'a2'),
  ],
};

describe('a container', () => {
  const table: [name: string, id: string][] = [
    ['c4', 'c4'],
    ['web', 'c3'],
    ['postgres', 'c4'],
  ];
  for (const [name, id] of table) it(`${name} is ${id}`, () => assert.equal(findContainer(all, name).id, id));

  it('of a pod with one container goes by the name of the pod', () => {
    const one: Inventory = { pods: [pod('a9', 'solo')], containers: [container('c9', 'main', 'a9')] };
    assert.equal(findContainer(one, 'solo').id, 'c9');
  });

  const wrong: [name: string, error: RegExp][] = [
    ['nothing', /there is no container "nothing"; "skiff ps -a" shows/],
    ['c', /"c" means 3 containers: c3 \(web\), c2 \(web\), c4 \(postgres\); give more of an id/],
    ['proxy', /means 2 containers/],
    ['twins', /means 2 containers: d1 \(left\), d2 \(right\)/],
  ];
  for (const [name, error] of wrong)
    it(`${name} is an error`, () => assert.throws(() => findContainer(all, name), error));
});

describe('what is stopped or removed', () => {
  it('is the pod where pod and container share a name', () => {
    const target = findTarget(all, 'web');
    assert.equal(target.kind === 'pod' && target.pod.id, 'a1');
  });

  it('is a container by its id or name', () => {
    const target = findTarget(all, 'postgres');
    assert.equal(target.kind === 'container' && target.container.id, 'c4');
  });

  it('is a pod by namespace and name', () => {
    const target = findTarget(all, 'other/db');
    assert.equal(target.kind === 'pod' && target.pod.id, 'a3');
  });

  it('must be one thing', () => {
    assert.throws(() => findTarget(all, 'db'), /"db" means 2 pods: a2 \(default\/db\), a3 \(other\/db\)/);
    assert.throws(() => findTarget(all, 'none'), /there is no container or pod "none"/);
  });
});
