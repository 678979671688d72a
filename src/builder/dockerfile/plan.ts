import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import type { BuildGraph } from '../graph.ts';
import { PlanBudget } from './config-draft.ts';
import { dockerfileError } from './dockerfile-error.ts';
import { type Dockerfile, findStage, type Placed, parseTriggers, type Stage } from './parse.ts';
import { type BaseImage, StagePlan } from './plan-stage.ts';
import { BuildArgs, globalArgsOf, unconsumed } from './substitution.ts';
import { expandWord } from './words.ts';

export interface PlanOptions {
  buildArgs: ReadonlyMap<string, string>;
  /** A stage by name or number; the last one when absent. */
  target?: string | undefined;
  /** Added at the end. */
  labels?: ReadonlyMap<string, string>;
}

/** One line of a build as people follow it. */
export interface Step {
  text: string;
  vertex: number;
  /** A trigger of the base image, which is not counted. */
  isTrigger?: boolean;
  /** A stage's beginning; its vertex is an image's or another stage's. */
  isFrom?: boolean;
  /** Of the image that a stage begins with. */
  imageId?: string;
  /** How many triggers follow. */
  triggers?: number;
}

export interface DockerfilePlan extends BuildGraph {
  steps: Step[];
  warnings: string[];
}

/** Where an image is wanted: `FROM` with its platform, or `COPY --from`. */
export interface WantedImage {
  reference: string;
  platform?: string;
}

/** Names an image that was looked up, with the platform it was looked up for. */
export function imageKey({ reference, platform = '' }: WantedImage): string {
  return `${reference} ${platform}`;
}

/**
 * Stages that the target needs, in order, and the images that are still to be looked up before it can be planned. Looking one up may show
 * triggers that need more: ask again until nothing is wanted. @throws Invalid. Pure.
 */
export function planNeeds(
  dockerfile: Dockerfile,
  { buildArgs, target }: PlanOptions,
  images: ReadonlyMap<string, BaseImage>,
): { stages: Stage[]; wanted: WantedImage[] } {
  const { stages } = dockerfile;
  const globals = globalArgsOf(dockerfile, buildArgs, new Set());
  const last = target === undefined || target === '' ? stages.at(-1) : findStage(stages, target);
  if (!last) throw new UmiakError('Invalid', `target stage "${String(target).slice(0, 200)}" could not be found`);
  const needed = new Set<Stage>();
  const wanted = new Map<string, WantedImage>();
  const want = (image: WantedImage) => {
    if (image.reference !== 'scratch' && !images.has(imageKey(image))) wanted.set(imageKey(image), image);
  };
  const left = [last];
  for (let stage = left.pop(); stage; stage = left.pop()) {
    if (needed.has(stage)) continue;
    needed.add(stage);
    const from = fromOf(dockerfile, stage, globals);
    if ('stage' in from) left.push(from.stage);
    else want(from.image);
    const inherited = 'image' in from ? images.get(imageKey(from.image))?.config.OnBuild : triggersOf(from.stage);
    for (const placed of [...parseTriggers(inherited ?? [], stage.line), ...stage.instructions]) {
      const source = copyFromOf(placed, stage, stages);
      if (source && 'stage' in source) left.push(source.stage);
      else if (source) want(source.image);
    }
  }
  return { stages: stages.filter(stage => needed.has(stage)), wanted: [...wanted.values()] };
}

/** Those that a stage leaves to whoever builds on it. */
function triggersOf({ instructions }: Stage): string[] {
  return instructions.flatMap(({ instruction }) => (instruction.keyword === 'ONBUILD' ? [instruction.trigger] : []));
}

type From = { stage: Stage } | { image: WantedImage };

/** What a stage begins with: an earlier stage by name, or an image. */
function fromOf({ stages, escapeChar }: Dockerfile, stage: Stage, globals: ReadonlyMap<string, string | undefined>): From {
  const expand = (text: string) => {
    try {
      return expandWord(text, name => globals.get(name), escapeChar);
    } catch (error) {
      throw error instanceof UmiakError ? dockerfileError(stage.line.line, error.message) : error;
    }
  };
  const name = expand(stage.from.image);
  if (name === '') throw dockerfileError(stage.line.line, `base name (${stage.from.image}) should not be blank`);
  const earlier = stages.slice(0, stage.index).find(({ from }) => from.name === name.toLowerCase());
  if (earlier) return { stage: earlier };
  const platform = stage.from.platform === undefined ? '' : expand(stage.from.platform);
  return { image: { reference: name, ...(platform !== '' ? { platform } : {}) } };
}

/** What a `COPY --from` reads: an earlier stage by name or number, or an image. @throws Invalid for a stage that is not earlier */
function copyFromOf({ instruction, line }: Placed, stage: Stage, stages: readonly Stage[]): From | undefined {
  if (instruction.keyword !== 'COPY' || instruction.from === undefined) return undefined;
  const { from } = instruction;
  const found = findStage(stages, from);
  if (found && found.index < stage.index) return { stage: found };
  if (found === stage) throw dockerfileError(line.line, `invalid from flag value ${from}: refers to current build stage`);
  if (found) throw dockerfileError(line.line, `invalid from flag value ${from}: that stage comes later`);
  if (/^\d+$/.test(from)) throw dockerfileError(line.line, `invalid from flag value ${from}: invalid stage index`);
  return { image: { reference: from } };
}

/** The whole build as a graph, with what people read of it. All images that `planNeeds` wants are in `images`. @throws Invalid. Pure. */
export function planDockerfile(dockerfile: Dockerfile, options: PlanOptions, images: ReadonlyMap<string, BaseImage>): DockerfilePlan {
  const { buildArgs, labels = new Map() } = options;
  const { stages } = planNeeds(dockerfile, options, images);
  const consumed = new Set<string>();
  const globals = globalArgsOf(dockerfile, buildArgs, consumed);
  const { vertices, steps }: Pick<DockerfilePlan, 'vertices' | 'steps'> = { vertices: [], steps: [] };
  const graph = { vertices, budget: new PlanBudget() };
  const planned = new Map<Stage, StagePlan>();
  const imageVertices = new Map<string, number>();
  const vertexOf = (image: WantedImage): { vertex: number; base: BaseImage } => {
    const base = image.reference === 'scratch' ? SCRATCH : images.get(imageKey(image));
    if (!base) throw new UmiakError('InternalError', `the image ${image.reference} was not looked up`);
    const known = imageVertices.get(imageKey(image));
    if (known !== undefined) return { vertex: known, base };
    const { id, diffIds } = base;
    const vertex = vertices.length;
    vertices.push({
      operation: { kind: 'image', reference: image.reference, diffIds, ...(id !== undefined ? { imageId: id } : {}) },
      createdBy: '',
    });
    imageVertices.set(imageKey(image), vertex);
    return { vertex, base };
  };
  for (const stage of stages) {
    const from = fromOf(dockerfile, stage, globals);
    const args = new BuildArgs(buildArgs, globals, consumed);
    const plan =
      'stage' in from ? StagePlan.onStage(graph, args, planned.get(from.stage)!) : StagePlan.onImage(graph, args, vertexOf(from.image));
    planned.set(stage, plan);
    const triggers = parseTriggers(plan.takeTriggers(), stage.line);
    const fromStep: Step = { text: stage.line.text, vertex: plan.fileSystem, isFrom: true };
    const base = vertices[plan.fileSystem]?.operation;
    if (base?.kind === 'image') fromStep.imageId = base.imageId ?? '';
    if (triggers.length > 0) fromStep.triggers = triggers.length;
    steps.push(fromStep);
    const sourceOf = (placed: Placed) => {
      const source = copyFromOf(placed, stage, dockerfile.stages);
      if (!source) return undefined;
      return 'stage' in source ? planned.get(source.stage)!.fileSystem : vertexOf(source.image).vertex;
    };
    const add = (placed: Placed, escapeChar: string, isTrigger: boolean) => {
      const vertex = plan.add(placed, escapeChar, sourceOf(placed));
      steps.push({ text: placed.line.text, vertex, ...(isTrigger ? { isTrigger } : {}) });
    };
    for (const trigger of triggers) add(trigger, '\\', true);
    for (const placed of stage.instructions) add(placed, dockerfile.escapeChar, false);
  }
  const last = planned.get(stages.at(-1)!)!;
  if (labels.size > 0) {
    const pairs = [...labels].map(([key, value]) => ({ key, value }));
    steps.push({ text: `LABEL ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}`, vertex: last.addLabels(pairs) });
  }
  const unused = unconsumed(buildArgs, consumed);
  const warnings = unused.length > 0 ? [`[Warning] One or more build-args [${unused.join(' ')}] were not consumed`] : [];
  return { vertices, steps, result: last.result(), warnings };
}

const SCRATCH: BaseImage = { diffIds: [], config: {} };

/** A path as docker has it: absolute, without `.` and `..`. */
export function absolutePath(path: string, workingDir: string): string {
  return posix.normalize(posix.isAbsolute(path) ? path : posix.join(workingDir || '/', path));
}
