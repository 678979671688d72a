import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { AddressPool } from './ipam.ts';

test('addresses come in order, without network, gateway and broadcast', () => {
  const pool = new AddressPool('10.42.0.0/29');
  assert.deepEqual(
    Array.from({ length: 5 }, () => pool.take()),
    ['10.42.0.2', '10.42.0.3', '10.42.0.4', '10.42.0.5', '10.42.0.6'],
  );
  assert.equal(pool.available, 0);
  assert.throws(
    () => pool.take(),
    error => isUmiakError(error, 'ServiceUnavailable') && error.message === 'all 5 pod addresses of 10.42.0.0/29 are in use',
  );
});

test('a freed address comes again as late as possible', () => {
  const pool = new AddressPool('10.42.0.0/29');
  const [first, second] = [pool.take(), pool.take()];
  pool.release(second);
  pool.release(first);
  pool.release(first);
  assert.deepEqual(
    Array.from({ length: 5 }, () => pool.take()),
    ['10.42.0.4', '10.42.0.5', '10.42.0.6', second, first],
  );
});

test('reserved addresses are not given, and come again once released', () => {
  const pool = new AddressPool('10.42.0.0/29');
  pool.reserve('10.42.0.3');
  assert.throws(
    () => pool.reserve('10.42.0.3'),
    error => isUmiakError(error, 'AlreadyExists'),
  );
  assert.throws(
    () => pool.reserve('10.43.0.3'),
    error => isUmiakError(error, 'Invalid'),
  );
  assert.deepEqual([pool.take(), pool.take()], ['10.42.0.2', '10.42.0.4']);
  pool.reserve('10.42.0.6');
  pool.release('10.42.0.6');
  pool.release('10.42.0.3');
  assert.deepEqual([pool.take(), pool.take(), pool.take()].sort(), ['10.42.0.3', '10.42.0.5', '10.42.0.6']);
  assert.equal(pool.available, 0);
});

test('networks that hold no pod are refused', () => {
  for (const cidr of ['10.42.0.0/31', '10.42.0.0', '10.42.0.0/33', '10.42.0.256/24'])
    assert.throws(
      () => new AddressPool(cidr),
      error => isUmiakError(error, 'Invalid'),
    );
});
