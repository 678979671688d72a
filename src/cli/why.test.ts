/**
 * Golden cases of `umiak why`: each file in `why-cases/` has the facts as YAML, a line of dashes, and the text that people get.
 * `UPDATE=1` rewrites the second half.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { Pod } from '#kinds/types.gen.ts';
import type { PodFacts } from './explain-container.ts';
import { type DeploymentFacts, explainDeployment } from './explain-deployment.ts';
import { explainPod } from './explain-pod.ts';
import { explainService, type ServiceFacts } from './explain-service.ts';
import { toText } from './explanation.ts';
import { captureStreams } from './testing.ts';
import { parseTarget } from './why-command.ts';

const DIRECTORY = join(import.meta.dirname, 'why-cases');
const LINE = `${'-'.repeat(20)}\n`;
const NOW_MS = Date.parse('2026-11-23T12:00:00Z');

interface Case {
  pod?: Partial<PodFacts> & { pod: Pod };
  deployment?: DeploymentFacts;
  service?: ServiceFacts;
}

function explain({ pod, deployment, service }: Case) {
  if (deployment) return explainDeployment(deployment);
  if (service) return explainService(service);
  if (!pod) throw new Error('the case has neither pod, deployment nor service');
  const node = pod.pod.spec.nodeName ? { name: pod.pod.spec.nodeName, isReady: true } : undefined;
  return explainPod({ events: [], references: [], logTails: {}, nowMs: NOW_MS, node, ...pod });
}

for (const file of readdirSync(DIRECTORY).sort())
  test(`why: ${file.replace('.txt', '').replaceAll('-', ' ')}`, () => {
    const path = join(DIRECTORY, file);
    const [given = '', expected = ''] = readFileSync(path, 'utf8').split(LINE);
    const text = toText(explain(parse(given) as Case), captureStreams().streams);
    if (process.env.UPDATE) writeFileSync(path, `${given}${LINE}${text}`);
    else assert.equal(text, expected);
  });

test('targets', () => {
  assert.deepEqual(parseTarget('deploy/web'), { kind: 'deployment', name: 'web' });
  assert.deepEqual(parseTarget('web-1'), { kind: 'pod', name: 'web-1' });
  for (const bad of ['node/x', 'pod/', '/x']) assert.equal(parseTarget(bad), undefined);
});
