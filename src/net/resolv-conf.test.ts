import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseResolvConf } from './resolv-conf.ts';

test('a resolv.conf is read line by line, whatever else is in it', () => {
  const text =
    '# made by hand\nnameserver 10.0.0.1\n\nnameserver\t::1 \nsearch lan  home.arpa\n  options ndots:2 edns0\nsortlist x\nnameservers 9.9.9.9\n';
  assert.deepEqual(parseResolvConf(text), {
    servers: ['10.0.0.1', '::1'],
    searches: ['lan', 'home.arpa'],
    options: ['ndots:2', 'edns0'],
  });
  assert.deepEqual(parseResolvConf(''), { servers: [], searches: [], options: [] });
});
