import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { systemClock } from '#base/clock.ts';
import { createLog } from '#base/log.ts';
import { EngineBench } from '#engine/test-bench.ts';
import { buildImage, buildLayout, buildTar, type FixtureEntry } from '#images/fixtures.ts';
import { type Digest, type ImageStore, openImages, parseReference, toCanonicalName } from '#images/index.ts';
import { Builder, type BuilderOptions } from './builder.ts';
import { type BuildEvent, buildDockerfile, type DockerfileBuild } from './dockerfile/build.ts';

/** What a build of a test said and came to. */
export interface BuiltImage {
  id: Digest;
  output: string;
  /** Texts of steps that were found in the cache. */
  cached: string[];
  ran: string[];
  events: BuildEvent[];
}

/** For tests: images, an engine and a builder of their own. */
export class BuilderBench implements AsyncDisposable {
  readonly bench: EngineBench;
  readonly images: ImageStore;
  readonly #options: Partial<BuilderOptions>;
  builder: Builder;

  private constructor(bench: EngineBench, images: ImageStore, builder: Builder, options: Partial<BuilderOptions>) {
    this.bench = bench;
    this.images = images;
    this.builder = builder;
    this.#options = options;
  }

  static async open(name: string, options: Partial<BuilderOptions> = {}): Promise<BuilderBench> {
    const log = createLog({ level: 'warn' });
    let images: ImageStore | undefined;
    const bench = new EngineBench(name, 'crun', {
      images: {
        async resolve(reference) {
          const record = await images!.inspect(reference);
          return { imageId: record.id, reference, config: record.config.config ?? {}, lowerDirs: await images!.ensureUnpacked(record.id) };
        },
      },
    });
    await bench.open();
    const dataDir = `${bench.directory}/closed/data`;
    images = await openImages({ dataDir, log });
    await images.load(once(busyboxArchive()));
    const builder = await Builder.open({ dataDir, engine: bench.engine, images, clock: systemClock, log, ...options });
    return new BuilderBench(bench, images, builder, options);
  }

  get dataDir(): string {
    return `${this.bench.directory}/closed/data`;
  }

  /** The builder as a new process would open it. */
  async reopen(): Promise<void> {
    await this.builder[Symbol.asyncDispose]();
    const log = createLog({ level: 'warn' });
    this.builder = await Builder.open({
      dataDir: this.dataDir,
      engine: this.bench.engine,
      images: this.images,
      clock: systemClock,
      log,
      ...this.#options,
    });
  }

  /** Builds by a Dockerfile with these files beside it. */
  async build(
    dockerfile: string,
    files: readonly FixtureEntry[] = [],
    more: Partial<DockerfileBuild> & { archive?: Buffer } = {},
  ): Promise<BuiltImage> {
    using context = this.builder.openContext();
    await context.receive(once(more.archive ?? buildTar([{ name: 'Dockerfile', content: dockerfile }, ...files])));
    const events: BuildEvent[] = [];
    const id = await buildDockerfile(this.builder, {
      context,
      dockerfile: 'Dockerfile',
      buildArgs: new Map(),
      names: [],
      pulls: false,
      noCache: false,
      cacheFrom: [],
      run: { network: 'none' },
      authFor: () => undefined,
      signal: AbortSignal.timeout(60_000),
      onEvent: event => events.push(event),
      ...more,
    });
    const steps = events.flatMap(event => (event.type === 'plan' ? event.steps : []));
    const textOf = (vertex: number) => steps.find(step => step.vertex === vertex)?.text ?? '';
    const output = events.flatMap(event => (event.type === 'output' ? [event.chunk.toString()] : [])).join('');
    return {
      id,
      events,
      output,
      cached: events.flatMap(event => (event.type === 'cached' ? [textOf(event.vertex)] : [])),
      ran: events.flatMap(event => (event.type === 'running' ? [textOf(event.vertex)] : [])),
    };
  }

  /** What a command says in a container of an image. */
  async run(image: string, script: string): Promise<string> {
    const { output } = await this.bench.run(script, { image });
    return output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.builder[Symbol.asyncDispose]();
    await this.images[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }
}

/** `busybox:latest` with all its applets and some users. */
function busyboxArchive(): Buffer {
  const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter(name => name !== 'busybox');
  const layer = buildTar([
    { name: 'bin/', mode: 0o755 },
    { name: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
    ...applets.map(name => ({ name: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' })),
    { name: 'etc/', mode: 0o755 },
    { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n' },
    { name: 'etc/group', content: 'root:x:0:\nweb:x:1001:\n' },
    { name: 'tmp/', mode: 0o1777 },
    { name: 'lib', type: 'symlink', linkName: 'usr/lib' },
    { name: 'usr/lib/', mode: 0o755 },
  ]);
  return buildLayout(buildImage([layer], { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] }), toCanonicalName(parseReference('busybox')));
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
