import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HorizontalPodAutoscaler } from './autoscaling.ts';
import type { Kind } from './kind.ts';
import { Ingress, IngressClass, NetworkPolicy, ServiceCIDR } from './networking.ts';

const refused: [Kind, object, RegExp][] = [
  [Ingress as Kind, {}, /^spec: Invalid value: .*either `defaultBackend` or `rules` must be specified/],
  [Ingress as Kind, { rules: [{ host: 'A_b' }] }, /^spec\.rules\[0\]\.host: Invalid value: "A_b": a lowercase RFC 1123 subdomain/],
  [
    Ingress as Kind,
    { rules: [{ http: { paths: [{ path: '/a', backend: {} }] } }] },
    /paths\[0\]\.pathType: Required value: pathType must be specified/,
  ],
  [
    Ingress as Kind,
    { rules: [{ http: { paths: [{ path: '/a//b', pathType: 'Exact', backend: {} }] } }] },
    /path: Invalid value: "\/a\/\/b": must not contain '\/\/'/,
  ],
  [
    Ingress as Kind,
    { defaultBackend: { service: { name: 'web', port: { name: 'a', number: 1 } } } },
    /cannot set both port name & port number/,
  ],
  [IngressClass as Kind, { controller: 'plain' }, /spec\.controller: Invalid value: "plain": must be a domain-prefixed path/],
  [
    IngressClass as Kind,
    { controller: 'a.io/b', parameters: { kind: 'K', name: 'n', scope: 'Namespace' } },
    /spec\.parameters\.namespace: Required value/,
  ],
  [
    NetworkPolicy as Kind,
    { podSelector: {}, ingress: [{ ports: [{ endPort: 80 }] }] },
    /endPort: Invalid value: 80: may not be specified when `port` is not specified/,
  ],
  [
    NetworkPolicy as Kind,
    { podSelector: {}, ingress: [{ ports: [{ port: 90, endPort: 80 }] }] },
    /endPort: .*must be greater than or equal to `port`/,
  ],
  [
    NetworkPolicy as Kind,
    { podSelector: {}, egress: [{ to: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] },
    /to\[0\]: Forbidden: may not specify both ipBlock and another peer/,
  ],
  [
    NetworkPolicy as Kind,
    { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }] },
    /except\[0\]: .*must be a strict subset of `cidr`/,
  ],
  [ServiceCIDR as Kind, { cidrs: ['10.0.0.0/16', '10.1.0.0/16'] }, /may specify no more than one IP for each IP family/],
  [
    HorizontalPodAutoscaler as Kind,
    { maxReplicas: 2, scaleTargetRef: { kind: 'a', name: 'b' }, metrics: [{ type: 'Pods' }] },
    /metrics\[0\]\.pods: Required value: must populate information/,
  ],
  [
    HorizontalPodAutoscaler as Kind,
    { maxReplicas: 2, scaleTargetRef: { kind: 'a', name: 'b' }, behavior: { scaleUp: { policies: [] } } },
    /policies: Required value: must specify at least one Policy/,
  ],
];

describe('refused', () => {
  for (const [kind, spec, expected] of refused)
    test(String(expected), () => {
      const causes = kind.validate?.({ apiVersion: '', kind: '', metadata: { name: 'x' }, spec } as never) ?? [];
      assert.match(causes.map(({ field, message }) => `${field}: ${message}`).join('\n'), expected);
    });
});

test('accepted: wildcards, ranges of ports, parts of a block in both families', () => {
  const none = (kind: Kind, spec: object) => assert.deepEqual(kind.validate?.({ metadata: {}, spec } as never), []);
  const backend = { service: { name: 'web', port: { number: 80 } } };
  none(Ingress as Kind, { rules: [{ host: '*.example.com', http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }] });
  none(IngressClass as Kind, { controller: 'example.com/ingress' });
  const ipBlock = { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] };
  const v6 = { cidr: '2001:db8::/64', except: ['2001:db8::1:0/112'] };
  const egress = [{ to: [{ ipBlock }, { ipBlock: v6 }], ports: [{ protocol: 'TCP', port: 80, endPort: 90 }, { port: 'web' }] }];
  none(NetworkPolicy as Kind, { podSelector: {}, egress, policyTypes: ['Egress'] });
});

test('a behaviour is completed', () => {
  const autoscaler = {
    spec: { maxReplicas: 3, scaleTargetRef: {}, behavior: { scaleDown: { policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] } } },
  };
  HorizontalPodAutoscaler.defaults?.(autoscaler as never);
  assert.deepEqual(autoscaler.spec.behavior, {
    scaleUp: {
      stabilizationWindowSeconds: 0,
      selectPolicy: 'Max',
      policies: [
        { type: 'Pods', value: 4, periodSeconds: 15 },
        { type: 'Percent', value: 100, periodSeconds: 15 },
      ],
    },
    scaleDown: { selectPolicy: 'Max', policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
  });
});
