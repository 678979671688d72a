import { statSync } from 'node:fs';
import { release } from 'node:os';
import { compileSeccomp, type LinuxSeccomp } from '#linux/seccomp.ts';
import type { OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';
import { checkSeccompProfile, LOCALHOST, planSeccomp, readSeccompProfile } from './seccomp-profile.ts';

/** The annotation by which crun takes a compiled filter. */
const BPF_ANNOTATION = 'run.oci.seccomp_bpf_data';
const MAX_FILTERS = 64;

/** Filters by profile and capabilities, each compiled once. A profile's file is read again when it has changed. */
export class SeccompCache {
  readonly #compiled = new Map<string, string>();
  /** The same by the profile's object, which saves writing it out to look it up. */
  readonly #known = new WeakMap<LinuxSeccomp, string>();
  readonly #planned = new Map<string, LinuxSeccomp>();

  /** The specification with the filter that `profile` means, in the form that the runtime takes. @throws Invalid, ServiceUnavailable */
  apply(spec: OciSpec, profile: string | Record<string, unknown> | undefined, runtime: OciRuntime): OciSpec {
    const seccomp = this.#plan(profile, spec.process.capabilities.bounding);
    if (!seccomp) return spec;
    // A listener needs the runtime's own way: it hands the descriptor over. Flags are no part of a filter.
    if (!runtime.takesBpf || seccomp.listenerPath !== undefined || seccomp.flags?.length)
      return { ...spec, linux: { ...spec.linux, seccomp } };
    return { ...spec, annotations: { ...spec.annotations, [BPF_ANNOTATION]: this.#compile(seccomp) } };
  }

  #plan(profile: string | Record<string, unknown> | undefined, capabilities: readonly string[]): LinuxSeccomp | undefined {
    const key = `${stateOf(profile)} ${capabilities.join()}`;
    const known = this.#planned.get(key);
    if (known) return known;
    const read = typeof profile === 'object' ? checkSeccompProfile(profile) : readSeccompProfile(profile);
    if (!read) return undefined;
    const seccomp = planSeccomp(read, { capabilities: new Set(capabilities), arch: process.arch, kernel: release() });
    if (this.#planned.size >= MAX_FILTERS) this.#planned.clear();
    this.#planned.set(key, seccomp);
    return seccomp;
  }

  #compile(seccomp: LinuxSeccomp): string {
    const compiled = this.#known.get(seccomp) ?? this.#compileOnce(seccomp);
    this.#known.set(seccomp, compiled);
    return compiled;
  }

  #compileOnce(seccomp: LinuxSeccomp): string {
    const key = JSON.stringify(seccomp);
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    if (this.#compiled.size >= MAX_FILTERS) this.#compiled.clear();
    const compiled = compileSeccomp(seccomp).toString('base64');
    this.#compiled.set(key, compiled);
    return compiled;
  }
}

/** Tells one state of a profile's file from another; the default one stays as it was first read. */
function stateOf(profile: string | Record<string, unknown> = 'runtime/default'): string {
  if (typeof profile === 'object') return JSON.stringify(profile);
  const path = profile.replace(LOCALHOST, '');
  const file = path.startsWith('/') ? statSync(path, { bigint: true, throwIfNoEntry: false }) : undefined;
  return file ? `${profile} ${file.ino} ${file.size} ${file.mtimeNs} ${file.ctimeNs}` : profile;
}
