import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESCRIPTIONS, describedField, describedType, enumOf } from './descriptions.ts';
import { schemaData } from './schema-data.ts';

test('every description is of a type and a field that exist', () => {
  const byShort = new Map(Object.entries(schemaData().types).map(([name, type]) => [name.split('.').slice(-3).join('.'), type]));
  let [fields, current] = [0, ''];
  for (const line of DESCRIPTIONS.split('\n')) {
    const [, indent = '', name = ''] = /^(\s*)([\w.]+): \S/.exec(line) ?? assert.ok(line === '', line) ?? [];
    if (!name) continue;
    if (indent === '') {
      current = name;
      assert.ok(byShort.has(name), name);
    } else {
      fields++;
      assert.ok(byShort.get(current)?.fields?.[name], `${current}.${name}`);
    }
  }
  assert.ok(fields > 280, `${fields} fields`);
});

test('types, fields and closed choices are found by the full name of their type', () => {
  assert.match(describedType('io.k8s.api.core.v1.Pod') ?? '', /containers/);
  assert.match(describedField('io.k8s.api.apps.v1.DeploymentSpec', 'replicas') ?? '', /How many/);
  assert.deepEqual(enumOf('io.k8s.api.core.v1.PodSpec', 'restartPolicy'), ['Always', 'Never', 'OnFailure']);
  assert.equal(describedField('io.k8s.api.core.v1.PodSpec', 'spec'), undefined);
});
