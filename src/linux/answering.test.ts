import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canBeServed, requireAnswering } from './answering.ts';

test('the table of mounts is read only where something in it can be served by others', () => {
  const plain = 'nodev\tsysfs\nnodev\ttmpfs\n\text4\nnodev\tfusectl\n';
  const cases: [filesystems: string, fuseConnections: number | undefined, can: boolean][] = [
    [plain, undefined, false],
    [`${plain}nodev\tfuse\n\tfuseblk\n`, 0, false],
    [`${plain}nodev\tfuse\n`, 1, true],
    [`${plain}nodev\tfuse\n`, undefined, true],
    [`${plain}nodev\tnfs4\n`, 0, true],
    [`${plain}nodev\t9p\nnodev\tfuse\n`, 0, true],
  ];
  for (const [filesystems, fuseConnections, can] of cases) assert.equal(canBeServed(filesystems, fuseConnections), can, filesystems);
});

test('what is there and what is not both answer', async () => {
  await requireAnswering(['/', '/no/such/path']);
});
