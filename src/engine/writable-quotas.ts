import { existsSync, readdirSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { hasProjectQuota, limitProject, type ProjectUsage, projectOf, projectUsage, setProject } from '#linux/quota.ts';

/** Ids that people give to projects of their own are small; ours are above. */
const FIRST_PROJECT = 1 << 24;
const PROJECTS = 2 ** 31 - FIRST_PROJECT;

/** Counts, and limits where it is asked for, what containers write, by project quotas where the data directory's file system has them. */
export class WritableQuotas {
  readonly #directory: string;
  #isThere: boolean | undefined;

  constructor({ directory }: { directory: string }) {
    this.#directory = directory;
  }

  /** Whether the file system counts by project, as it was when first asked. */
  get isThere(): boolean {
    this.#isThere ??= hasProjectQuota(this.#directory);
    return this.#isThere;
  }

  /** @throws Invalid for a limit that can't be kept here */
  check(limitBytes: number | undefined): void {
    if (limitBytes === undefined) return;
    if (!Number.isSafeInteger(limitBytes) || limitBytes <= 0)
      throw new UmiakError('Invalid', `writableLimitBytes: ${limitBytes} is no number of bytes`);
    if (this.isThere) return;
    throw new UmiakError('Invalid', `writableLimitBytes: the file system of ${this.#directory} does not count by project`, {
      hint: 'Put the data directory on ext4 or xfs mounted with prjquota, or limit ephemeral-storage of the pod, which is watched from outside.',
    });
  }

  /**
   * Counts what will be written to `directory` as long as it is empty, and to `others` with it: files can't be moved between projects.
   * Returns whether it is counted from now on, and was not before.
   */
  begin(directory: string, others: readonly string[] = []): boolean {
    if (!this.isThere) return false;
    const before = projectOf(directory);
    const isNew = before < FIRST_PROJECT && readdirSync(directory).length === 0;
    if (before < FIRST_PROJECT && !isNew) return false;
    const project = isNew ? this.#freeProject() : before;
    for (const each of isNew ? [directory, ...others] : others) setProject(each, project);
    return isNew;
  }

  /** Allows what `begin` counts so many bytes beyond those that are there already. The kernel keeps that through restarts. */
  limit(directory: string, bytes: number): void {
    const project = projectOf(directory);
    limitProject(this.#directory, project, { bytes: bytes + projectUsage(this.#directory, project).bytes });
  }

  /** Takes the limit away; the directory may be gone after. */
  end(directory: string): void {
    if (!this.isThere || !existsSync(directory)) return;
    const project = projectOf(directory);
    if (project >= FIRST_PROJECT) limitProject(this.#directory, project, { bytes: 0 });
  }

  /** What was written, at once; undefined where it is not counted. */
  usage(directory: string): ProjectUsage | undefined {
    if (!this.isThere || !existsSync(directory)) return undefined;
    const project = projectOf(directory);
    return project >= FIRST_PROJECT ? projectUsage(this.#directory, project) : undefined;
  }

  #freeProject(): number {
    for (;;) {
      const project = FIRST_PROJECT + Math.floor(Math.random() * PROJECTS);
      if (projectUsage(this.#directory, project).inodes === 0) return project;
    }
  }
}
