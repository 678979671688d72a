import { readFile } from 'node:fs/promises';
import type { Step } from '#apiserver/pipeline.ts';
import { type Clock, type Log, messageOf, UmiakError } from '#base/index.ts';

export interface AuditOptions {
  /** Empty: nothing is written down. */
  policyPath: string;
  path: string;
  clock: Clock;
  log: Log;
  stack: AsyncDisposableStack;
}

/** The step that writes requests to the audit log as the policy says; undefined without one. @throws `Invalid` */
export async function openAudit({ policyPath, path, clock, log, stack }: AuditOptions): Promise<Step | undefined> {
  if (!policyPath) return undefined;
  const [{ FileSink, parseAuditPolicy }, { auditStep }, { parse }] = await Promise.all([
    import('#audit/index.ts'),
    import('#apiserver/audit-step.ts'),
    import('#base/yaml.ts'),
  ]);
  try {
    const policy = parseAuditPolicy(parse(await readFile(policyPath, 'utf8')));
    const sink = stack.use(
      new FileSink({ path, onError: error => log.error('audit records were lost', { path, error: messageOf(error) }) }),
    );
    return auditStep({ policy, sink, clock });
  } catch (cause) {
    throw new UmiakError('Invalid', `the audit policy in ${policyPath} can not be used: ${messageOf(cause)}`, { cause });
  }
}
