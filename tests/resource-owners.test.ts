import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOBODY, ownerOf } from './resource-owners.ts';
import { planLeaks, type Resources } from './resources.ts';

const NOTHING: Resources = {
  mounts: [],
  namespaces: [],
  cgroups: [],
  processes: [],
  links: [],
  tables: [],
  rules: {},
  kernelChanges: [],
  sockets: [],
  locks: [],
  files: [],
  descriptors: {},
};
const ID = 'a'.repeat(64);

test('what leaked is told by its name and by who was to free it', () => {
  const after = {
    ...NOTHING,
    mounts: [`/d/engine/containers/${ID}/merged`, `/d/engine/sandboxes/${ID}/shm`],
    namespaces: ['/run/u/netns/abc.net'],
    processes: ['7 /usr/bin/conmon -c x', '8 sleep 1'],
    descriptors: { '/run/u/engine/bundles/<id>/winsz': 2 },
    rules: { 'map host-ports': 1 },
  };
  assert.deepEqual(planLeaks(NOTHING, after), [
    `mounts: /d/engine/containers/${ID}/merged (engine/preparation)`,
    `mounts: /d/engine/sandboxes/${ID}/shm (engine/sandbox-life)`,
    'namespaces: /run/u/netns/abc.net (net/network-pool)',
    'processes: 7 /usr/bin/conmon -c x (engine/conmon)',
    'processes: 8 sleep 1 (engine/container-runs)',
    'rules: 1 × map host-ports (net/rule-table)',
    'descriptors: 2 × /run/u/engine/bundles/<id>/winsz (engine/container-runs: watchMonitor)',
  ]);
});

test('what was there before, or is there no more, is no leak', () => {
  const before = { ...NOTHING, links: ['u0', 've1'], files: ['/d/x'], descriptors: { 'pipe:': 4 } };
  assert.deepEqual(planLeaks(before, { ...before, links: ['u0'], descriptors: { 'pipe:': 2 } }), []);
  assert.deepEqual(planLeaks(NOTHING, before, { files: false, descriptors: false }).length, 2);
});

test('a file that no part of the house owns is told as such', () => {
  assert.equal(ownerOf('files', '/var/lib/umiak/surprise'), NOBODY);
  assert.equal(ownerOf('files', '/var/lib/umiak/pki/ca.key'), 'pki');
});
