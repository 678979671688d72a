import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import type { Operation, StageResult, Vertex } from '../graph.ts';
import { dockerfileError } from './dockerfile-error.ts';
import type { Command, Instruction, Pair } from './instructions.ts';
import type { Placed } from './parse.ts';
import { applyConfig, shellOf } from './plan-config.ts';
import { planCopy } from './plan-copy.ts';
import { type BuildArgs, envMap, lookupOf } from './substitution.ts';
import { expandWord } from './words.ts';

/** An image that a stage begins with; without an id it is `scratch`. */
export interface BaseImage {
  id?: string;
  diffIds: readonly string[];
  config: ContainerConfig;
}

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** One stage as it grows, instruction by instruction: the image's configuration, and vertices of the graph. */
export class StagePlan {
  readonly #graph: { vertices: Vertex[] };
  readonly #args: BuildArgs;
  readonly #chain: number[];
  readonly #baseImage: string | undefined;
  #config: ContainerConfig;
  #author: string | undefined;
  #vertex: number;
  #fileSystem: number;
  #hasCmd = false;

  private constructor(graph: { vertices: Vertex[] }, args: BuildArgs, start: StageResult) {
    this.#graph = graph;
    this.#args = args;
    this.#config = start.config;
    this.#author = start.author;
    this.#vertex = start.vertex;
    this.#fileSystem = start.fileSystem;
    this.#chain = [...start.chain];
    this.#baseImage = start.baseImage;
  }

  static onImage(graph: { vertices: Vertex[] }, args: BuildArgs, { vertex, base }: { vertex: number; base: BaseImage }): StagePlan {
    const env = base.config.Env ?? [];
    const config = envMap(env).has('PATH') ? { ...base.config } : { ...base.config, Env: [...env, DEFAULT_PATH] };
    return new StagePlan(graph, args, {
      vertex,
      fileSystem: vertex,
      chain: [],
      config,
      ...(base.id !== undefined ? { baseImage: base.id } : {}),
    });
  }

  static onStage(graph: { vertices: Vertex[] }, args: BuildArgs, stage: StagePlan): StagePlan {
    return new StagePlan(graph, args, stage.result());
  }

  /** The vertex whose file system a `COPY --from` of this stage reads, or its next step goes on from. */
  get fileSystem(): number {
    return this.#fileSystem;
  }

  /** The triggers that it inherited, which run once. */
  takeTriggers(): readonly string[] {
    const { OnBuild = [], ...rest } = this.#config;
    this.#config = rest;
    return OnBuild;
  }

  result(): StageResult {
    return {
      vertex: this.#vertex,
      fileSystem: this.#fileSystem,
      chain: [...this.#chain],
      config: this.#config,
      ...(this.#author !== undefined ? { author: this.#author } : {}),
      ...(this.#baseImage !== undefined ? { baseImage: this.#baseImage } : {}),
    };
  }

  /** Adds an instruction; its vertex. `source` is what a `COPY --from` reads. @throws Invalid with the line */
  add({ instruction, line }: Placed, escapeChar: string, source: number | undefined): number {
    try {
      return this.#add(instruction, escapeChar, source);
    } catch (error) {
      if (error instanceof UmiakError && error.reason === 'Invalid' && !error.message.startsWith('dockerfile parse error'))
        throw dockerfileError(line.line, error.message);
      throw error;
    }
  }

  addLabels(pairs: readonly Pair[]): number {
    this.#config = {
      ...this.#config,
      Labels: { ...this.#config.Labels, ...Object.fromEntries(pairs.map(({ key, value }) => [key, value])) },
    };
    return this.#note(` LABEL ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}`);
  }

  #add(instruction: Instruction, escapeChar: string, source: number | undefined): number {
    const env = envMap(this.#config.Env ?? []);
    const lookup = lookupOf(env, this.#args);
    const expand = (text: string) => expandWord(text, lookup, escapeChar);
    switch (instruction.keyword) {
      case 'ARG': {
        for (const { name, value } of instruction.args) {
          const now = lookupOf(env, this.#args);
          this.#args.declare(name, value === undefined ? undefined : expandWord(value, now, escapeChar));
        }
        return this.#note(` ARG ${instruction.args.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)).join(' ')}`);
      }
      case 'RUN':
        return this.#run(instruction.command, env);
      case 'COPY':
      case 'ADD': {
        const operation = planCopy(instruction, { expand, workingDir: this.#config.WorkingDir ?? '/', source });
        return this.#grow(operation, `${this.#nop} ${instruction.keyword} in ${operation.destination} `);
      }
      case 'MAINTAINER':
        this.#author = instruction.value;
        return this.#note(` MAINTAINER ${instruction.value}`);
      case 'FROM':
        throw new UmiakError('Invalid', "FROM isn't allowed here");
      default: {
        if (instruction.keyword === 'ENTRYPOINT' && !this.#hasCmd) {
          const { Cmd: _, ...rest } = this.#config;
          this.#config = rest;
        }
        if (instruction.keyword === 'CMD') this.#hasCmd = true;
        const { config, comment, workingDir } = applyConfig(this.#config, instruction, { lookup, expand, escapeChar });
        this.#config = config;
        return workingDir === undefined ? this.#note(comment) : this.#grow({ kind: 'mkdir', path: workingDir }, `${this.#nop}${comment}`);
      }
    }
  }

  #run(command: Command, env: ReadonlyMap<string, string>): number {
    const args = 'exec' in command ? command.exec : [...shellOf(this.#config), command.shell];
    if (args.length === 0 || args[0] === '') throw new UmiakError('Invalid', 'RUN requires at least one argument');
    const visible = this.#args.visible(env);
    const operation: Operation = {
      kind: 'run',
      args,
      env: [...(this.#config.Env ?? []), ...visible],
      hiddenEnv: this.#args.hidden(env),
      workingDir: this.#config.WorkingDir ?? '/',
      user: this.#config.User ?? '',
    };
    return this.#grow(operation, [...(visible.length > 0 ? [`|${visible.length}`, ...visible] : []), ...args].join(' '));
  }

  get #nop(): string {
    return [...shellOf(this.#config), '#(nop)'].join(' ');
  }

  /** A step that changes no file. */
  #note(comment: string): number {
    const createdBy = `${this.#nop} ${comment}`;
    this.#vertex = this.#push({ operation: { kind: 'config', change: createdBy }, base: this.#vertex, createdBy });
    return this.#vertex;
  }

  #grow(operation: Operation, createdBy: string): number {
    this.#fileSystem = this.#push({ operation, base: this.#fileSystem, createdBy });
    this.#vertex = this.#fileSystem;
    return this.#vertex;
  }

  #push(vertex: Vertex): number {
    this.#graph.vertices.push(vertex);
    this.#chain.push(this.#graph.vertices.length - 1);
    return this.#graph.vertices.length - 1;
  }
}
