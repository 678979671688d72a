import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DockerEvent } from './event.ts';
import { parseEventFilters, parseMoment } from './event-filter.ts';

const start: DockerEvent = {
  type: 'container',
  action: 'start',
  id: 'abcdef',
  attributes: { image: 'reg:5000/web:1', name: 'shop', tier: 'front', empty: '' },
};
const exec: DockerEvent = { ...start, action: 'exec_create: ls -l' };
const health: DockerEvent = { ...start, action: 'health_status: unhealthy' };
const pull: DockerEvent = { type: 'image', action: 'pull', id: 'busybox:latest', attributes: { name: 'busybox' } };
const connect: DockerEvent = { type: 'network', action: 'connect', id: '1234', attributes: { name: 'back', container: 'abcdef' } };
const volume: DockerEvent = { type: 'volume', action: 'create', id: 'data', attributes: { driver: 'local' } };

describe('parseEventFilters', () => {
  const all = { start, exec, health, pull, connect, volume };
  const rows: [filters: object, passing: string][] = [
    [{}, 'start exec health pull connect volume'],
    [{ type: ['container'] }, 'start exec health'],
    [{ type: ['image', 'volume'] }, 'pull volume'],
    [{ type: { network: true } }, 'connect'],
    [{ event: ['start', 'pull'] }, 'start pull'],
    [{ event: ['exec_create'] }, 'exec'],
    [{ event: ['exec_create: ls -l'] }, 'exec'],
    [{ event: ['health_status'] }, 'health'],
    [{ event: ['health_status: healthy'] }, ''],
    [{ event: ['health_status: unhealthy'] }, 'health'],
    [{ event: ['health_status', 'start'] }, 'start health'],
    [{ container: ['abc'] }, 'start exec health'],
    [{ container: ['shop'] }, 'start exec health'],
    [{ container: ['b'] }, ''],
    [{ container: ['x', 'shop'], event: ['start'] }, 'start'],
    [{ image: ['reg:5000/web'] }, 'start exec health'],
    [{ image: ['reg:5000/web:1'] }, 'start exec health'],
    [{ image: ['busybox'] }, 'pull'],
    [{ image: ['busybox:latest'] }, 'pull'],
    [{ image: ['busy'] }, ''],
    [{ label: ['tier'] }, 'start exec health'],
    [{ label: ['tier=front', 'empty='] }, 'start exec health'],
    [{ label: ['tier=front', 'none'] }, ''],
    [{ network: ['back'] }, 'connect'],
    [{ volume: ['data'] }, 'volume'],
    [{ daemon: ['x'] }, ''],
    [{ scope: ['local'] }, 'start exec health pull connect volume'],
    [{ scope: ['swarm'] }, ''],
    [{ node: ['x'] }, ''],
  ];
  for (const [filters, passing] of rows)
    it(JSON.stringify(filters), () => {
      const passes = parseEventFilters(JSON.stringify(filters));
      const found = Object.entries(all).flatMap(([name, event]) => (passes(event) ? [name] : []));
      assert.equal(found.join(' '), passing);
    });
  it('refuses others', () => assert.throws(() => parseEventFilters('{"colour":["red"]}'), /invalid filter 'colour'/));
});

describe('parseMoment', () => {
  const rows: [text: string | null, seconds?: number, nanos?: number][] = [
    [null],
    [''],
    ['0', 0, 0],
    ['1700000000', 1_700_000_000, 0],
    ['1700000000.000000001', 1_700_000_000, 1],
    ['1700000000.5', 1_700_000_000, 500_000_000],
    ['2023-11-14T22:13:20Z', 1_700_000_000, 0],
    ['2023-11-14T22:13:20.123456789Z', 1_700_000_000, 123_456_789],
    ['2023-11-15T00:13:20+02:00', 1_700_000_000, 0],
  ];
  for (const [text, seconds, nanos] of rows)
    it(String(text), () => assert.deepEqual(parseMoment('since', text), seconds === undefined ? undefined : { seconds, nanos }));
  for (const text of ['x', '-1', '1.1234567890', '2023-13-01T00:00:00Z', '99999999999999'])
    it(`not ${text}`, () => assert.throws(() => parseMoment('since', text), { reason: 'BadRequest' }));
});
