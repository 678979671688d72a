import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planHosts } from './sandbox-files.ts';

const aliases = [{ ip: '1.2.3.4', hostnames: ['one', 'two'] }];

test("a pod's own names, under the line that says who writes the file", () => {
  const hosts = planHosts({ hostname: 'web', fqdn: 'web.sub.ns.svc.cluster.local', address: '10.0.0.7', aliases }).split('\n');
  assert.equal(hosts[0], '# Kubernetes-managed hosts file.');
  assert.ok(hosts.includes('127.0.0.1\tlocalhost'));
  assert.deepEqual(hosts.slice(-3), ['10.0.0.7\tweb.sub.ns.svc.cluster.local\tweb', '1.2.3.4\tone\ttwo', '']);
});

test("in the machine's network the machine's names, with the pod's aliases", () => {
  const hosts = planHosts({ hostname: 'node', address: '10.0.0.7', aliases, ofHost: '127.0.0.1 localhost\n10.1.1.1 other\n' });
  assert.equal(hosts, '# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n10.1.1.1 other\n1.2.3.4\tone\ttwo\n');
});
