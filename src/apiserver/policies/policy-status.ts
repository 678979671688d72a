import { isUmiakError } from '#base/errors.ts';
import type { ValidatingAdmissionPolicy } from '#kinds/types.gen.ts';
import { SYSTEM } from '../identity.ts';
import type { Resources, Stored } from '../resources.ts';
import type { StoredObject } from '../stored-object.ts';
import type { Writer } from '../writer.ts';

export interface PolicyStatusesOptions {
  resources: Resources;
  writer: Writer;
  onFailure: (error: unknown) => void;
}

/** Tells in a validating policy's status what is doubtful about its expressions, once for each generation. */
export class PolicyStatuses implements AsyncDisposable {
  readonly #policies: Stored;
  readonly #resources: Resources;
  readonly #writer: Writer;
  readonly #onFailure: (error: unknown) => void;
  readonly #listening: Disposable;
  readonly #waiting = new Set<string>();
  #working: Promise<void> | undefined;
  #disposed = false;

  constructor({ resources, writer, onFailure }: PolicyStatusesOptions) {
    this.#resources = resources;
    this.#writer = writer;
    this.#onFailure = onFailure;
    this.#policies = resources.stored('admissionregistration.k8s.io', 'v1', 'validatingadmissionpolicies');
    const { cache } = this.#policies;
    this.#listening = cache.listen(changes => {
      for (const { type, object } of changes) if (type !== 'DELETED') this.#look(object);
    });
    for (const stored of cache.snapshot().view.range('', '\uffff')) this.#look(stored);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#listening[Symbol.dispose]();
    await this.#working;
  }

  #look(stored: StoredObject): void {
    const { metadata, status } = stored.object<ValidatingAdmissionPolicy>();
    if (status?.observedGeneration === metadata.generation) return;
    this.#waiting.add(stored.key);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    try {
      const { checkTypes } = await import('./type-checking.ts');
      for (const name of this.#waiting) {
        this.#waiting.delete(name);
        if (!this.#disposed) await this.#write(name, checkTypes).catch(this.#onFailure);
      }
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#working = undefined;
    }
  }

  async #write(name: string, checkTypes: typeof import('./type-checking.ts').checkTypes): Promise<void> {
    const target = { served: this.#policies, namespace: '', name, subresource: 'status', identity: SYSTEM, dryRun: false, warnings: [] };
    try {
      await this.#writer.update(target, {
        change: current => {
          const policy = current as ValidatingAdmissionPolicy;
          const expressionWarnings = checkTypes(policy.spec, this.#resources);
          policy.metadata.resourceVersion = '';
          policy.status = {
            ...policy.status,
            observedGeneration: policy.metadata.generation,
            typeChecking: expressionWarnings.length > 0 ? { expressionWarnings } : {},
          };
          return { object: policy, missing: [] };
        },
      });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound') && !this.#disposed) throw error;
    }
  }
}
