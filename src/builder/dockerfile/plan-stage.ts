import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import type { Operation, StageResult, Vertex } from '../graph.ts';
import { ConfigDraft, type PlanBudget } from './config-draft.ts';
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

/** What stages add to. */
interface GrowingGraph {
  vertices: Vertex[];
  budget: PlanBudget;
}

/** One stage as it grows, instruction by instruction: the image's configuration, and vertices of the graph. */
export class StagePlan {
  readonly #graph: GrowingGraph;
  readonly #args: BuildArgs;
  readonly #chain: number[];
  readonly #baseImage: string | undefined;
  readonly #draft: ConfigDraft;
  #author: string | undefined;
  #vertex: number;
  #fileSystem: number;
  #hasCmd = false;

  private constructor(graph: GrowingGraph, args: BuildArgs, start: StageResult) {
    this.#graph = graph;
    this.#args = args;
    this.#draft = new ConfigDraft(start.config);
    this.#author = start.author;
    this.#vertex = start.vertex;
    this.#fileSystem = start.fileSystem;
    this.#chain = [...start.chain];
    this.#baseImage = start.baseImage;
  }

  static onImage(graph: GrowingGraph, args: BuildArgs, { vertex, base }: { vertex: number; base: BaseImage }): StagePlan {
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

  static onStage(graph: GrowingGraph, args: BuildArgs, stage: StagePlan): StagePlan {
    return new StagePlan(graph, args, stage.result());
  }

  /** The vertex whose file system a `COPY --from` of this stage reads, or its next step goes on from. */
  get fileSystem(): number {
    return this.#fileSystem;
  }

  /** The triggers that it inherited, which run once. */
  takeTriggers(): readonly string[] {
    const triggers = this.#draft.onBuild;
    this.#draft.onBuild = [];
    return triggers;
  }

  result(): StageResult {
    return {
      vertex: this.#vertex,
      fileSystem: this.#fileSystem,
      chain: [...this.#chain],
      config: this.#draft.toConfig(),
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
    for (const { key, value } of pairs) this.#draft.labels.set(key, value);
    return this.#note(` LABEL ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}`);
  }

  #add(instruction: Instruction, escapeChar: string, source: number | undefined): number {
    const draft = this.#draft;
    const { budget } = this.#graph;
    const lookup = lookupOf(draft.env, this.#args);
    const expand = (text: string) => {
      const word = expandWord(text, lookup, escapeChar);
      budget.takeChars(word.length);
      return word;
    };
    switch (instruction.keyword) {
      case 'ARG': {
        for (const { name, value } of instruction.args) {
          this.#args.declare(name, value === undefined ? undefined : expand(value));
        }
        return this.#note(` ARG ${instruction.args.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)).join(' ')}`);
      }
      case 'RUN':
        return this.#run(instruction.command);
      case 'COPY':
      case 'ADD': {
        const operation = planCopy(instruction, { expand, workingDir: draft.rest.WorkingDir ?? '/', source });
        const owner = operation.chown === undefined ? '' : ` --chown=${operation.chown}`;
        return this.#grow(operation, `${this.#nop} ${instruction.keyword}${owner} in ${operation.destination} `);
      }
      case 'MAINTAINER':
        this.#author = instruction.value;
        return this.#note(` MAINTAINER ${instruction.value}`);
      case 'FROM':
        throw new UmiakError('Invalid', "FROM isn't allowed here");
      default: {
        if (instruction.keyword === 'ENTRYPOINT' && !this.#hasCmd) {
          const { Cmd: _, ...rest } = draft.rest;
          draft.rest = rest;
        }
        if (instruction.keyword === 'CMD') this.#hasCmd = true;
        const { comment, workingDir } = applyConfig(draft, instruction, { lookup, expand, escapeChar, budget });
        return workingDir === undefined ? this.#note(comment) : this.#grow({ kind: 'mkdir', path: workingDir }, `${this.#nop}${comment}`);
      }
    }
  }

  #run(command: Command): number {
    const draft = this.#draft;
    const args = 'exec' in command ? command.exec : [...shellOf(draft), command.shell];
    if (args.length === 0 || args[0] === '') throw new UmiakError('Invalid', 'RUN requires at least one argument');
    const visible = this.#args.visible(draft.env);
    const operation: Operation = {
      kind: 'run',
      args,
      env: visible.length > 0 ? [...draft.envList, ...visible] : draft.envList,
      hiddenEnv: this.#args.hidden(draft.env),
      workingDir: draft.rest.WorkingDir ?? '/',
      user: draft.rest.User ?? '',
    };
    return this.#grow(operation, [...(visible.length > 0 ? [`|${visible.length}`, ...visible] : []), ...args].join(' '));
  }

  get #nop(): string {
    return [...shellOf(this.#draft), '#(nop)'].join(' ');
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
