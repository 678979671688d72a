import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildGo } from '../tools/go-module.ts';

const root = resolve(import.meta.dirname, '..');
/** The module that requires Kubernetes; the kubelet is built from the same. */
const module = join(root, 'conformance');
const PACKAGE = 'k8s.io/kubernetes/cmd/kubelet';

/** Builds the kubelet of the Kubernetes that `conformance/go.mod` requires, unless it is there already, and says where it is. */
export async function buildKubelet(): Promise<{ program: string; version: string }> {
  const version = /^require k8s\.io\/kubernetes (v\S+)/m.exec(readFileSync(join(module, 'go.mod'), 'utf8'))?.[1];
  if (version === undefined) throw new Error('conformance/go.mod requires no k8s.io/kubernetes');
  const [, gitMajor = '', gitMinor = ''] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const directory = join(root, '.cache/kubelet/bin');
  const output = join(directory, `kubelet-${version}`);
  mkdirSync(directory, { recursive: true });
  if (!existsSync(output)) {
    console.error(`building kubelet ${version} …`);
    const stamps = Object.entries({ gitVersion: version, gitMajor, gitMinor });
    await buildGo({
      module,
      path: PACKAGE,
      output,
      stamps: Object.fromEntries(stamps.map(([name, value]) => [`k8s.io/component-base/version.${name}`, value])),
    });
  }
  return { program: output, version };
}

if (import.meta.main) console.log((await buildKubelet()).program);
