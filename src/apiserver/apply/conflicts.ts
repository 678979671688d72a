import type { FieldCause } from '#base/errors.ts';
import { UmiakError } from '#base/errors.ts';
import { eachPath } from './field-set.ts';
import type { Entry } from './managed-fields.ts';
import { pathText } from './path-element.ts';

/** Tells an applier whose fields it would take: each of the entries with the fields in question. */
export function applyConflict(entries: readonly Entry[]): UmiakError {
  const found = entries.flatMap(entry => {
    const paths: string[] = [];
    eachPath(entry.fields, path => paths.push(pathText(path)));
    return { manager: managerText(entry), paths: paths.sort() };
  });
  found.sort((a, b) => (a.manager < b.manager ? -1 : 1));
  const causes = found.flatMap(({ manager, paths }) =>
    paths.map((field): FieldCause => ({ reason: 'FieldManagerConflict', message: `conflict with ${manager}`, field })),
  );
  const [only] = causes;
  const message =
    causes.length === 1 && only
      ? `Apply failed with 1 conflict: ${only.message}: ${only.field}`
      : `Apply failed with ${causes.length} conflicts: ${found
          .map(({ manager, paths }) => [`conflicts with ${manager}:`, ...paths.map(path => `- ${path}`)].join('\n'))
          .join('\n')}`;
  return new UmiakError('Conflict', message, { details: { causes } });
}

/** `"mgr" with subresource "status" using apps/v1`: an applier is the same in all versions. */
function managerText({ manager, operation, apiVersion, subresource }: Entry): string {
  const name = `${JSON.stringify(manager)}${subresource ? ` with subresource ${JSON.stringify(subresource)}` : ''}`;
  return operation === 'Update' ? `${name} using ${apiVersion}` : name;
}
