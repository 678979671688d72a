import type { ServerResponse } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import type { BuildEvent, Step } from '#builder/index.ts';
import { PullProgress } from '../images/pull-progress.ts';
import { JsonLines } from '../request.ts';

/** Of steps whose turn to be told has not come. */
const MAX_HELD_BYTES = 2 << 20;
/** Of a client that reads more slowly than commands write. */
const MAX_BACKLOG_BYTES = 16 << 20;

interface Told {
  step: Step;
  number: number;
  lines: unknown[];
  heldBytes: number;
  isClipped: boolean;
  containerId?: string;
  isDone: boolean;
  /** Characters may come in pieces. */
  decoders: Record<'stdout' | 'stderr', StringDecoder>;
}

export interface BuildOutputOptions {
  response: ServerResponse;
  tellsRemoval: boolean;
  /** Says nothing but the image's id, and all of it when the build fails. */
  isQuiet: boolean;
}

/** A build told as docker's classic builder does, step after step, though several run side by side: what comes early waits for its turn. */
export class BuildOutput {
  readonly #lines: JsonLines;
  readonly #response: ServerResponse;
  readonly #tellsRemoval: boolean;
  readonly #pulls = new Map<string, PullProgress>();
  #told: Told[] = [];
  #at = 0;
  #count = 0;
  #isClipped = false;
  /** What a quiet build did not say. */
  #unsaid: unknown[] | undefined;
  #unsaidBytes = 0;

  constructor({ response, tellsRemoval, isQuiet }: BuildOutputOptions) {
    this.#response = response;
    this.#lines = new JsonLines(response);
    this.#tellsRemoval = tellsRemoval;
    if (isQuiet) this.#unsaid = [];
  }

  get isBegun(): boolean {
    return this.#lines.isBegun;
  }

  tell(event: BuildEvent): void {
    if (event.type === 'pull') this.#tellPull(event);
    else if (event.type === 'plan') this.#begin(event.steps);
    else for (const told of this.#told) if (told.step.vertex === event.vertex) this.#tellStep(told, event);
  }

  #tellPull({ reference, event }: Extract<BuildEvent, { type: 'pull' }>): void {
    let progress = this.#pulls.get(reference);
    if (!progress) {
      progress = new PullProgress();
      this.#pulls.set(reference, progress);
      this.#write({ status: `Pulling ${reference}` });
    }
    for (const line of progress.lines(event)) this.#write(line);
  }

  #begin(steps: readonly Step[]): void {
    let number = 0;
    this.#told = steps.map(step => {
      if (!step.isTrigger) number += 1;
      return {
        step,
        number,
        lines: [],
        heldBytes: 0,
        isClipped: false,
        isDone: false,
        decoders: { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') },
      };
    });
    this.#count = number;
    this.#tellHead();
  }

  #tellHead(): void {
    const told = this.#told[this.#at];
    if (!told) return;
    if (!told.step.isTrigger) this.#stream(`Step ${told.number}/${this.#count} : ${told.step.text}\n`);
    for (const line of told.lines.splice(0)) this.#write(line);
  }

  #tellStep(told: Told, event: Extract<BuildEvent, { vertex: number }>): void {
    const { step } = told;
    if (step.isFrom && (event.type === 'output' || event.type === 'running')) return; // it is told where it is done
    if (event.type === 'output') {
      const text = told.decoders[event.stream].write(event.chunk);
      if (text !== '') this.#add(told, event.stream === 'stderr' ? `\u001b[91m${text}\u001b[0m` : text, { mayClip: true });
      return;
    }
    if (event.type === 'running') {
      told.containerId = event.containerId.slice(0, 12);
      this.#add(told, ` ---> Running in ${told.containerId}\n`);
      return;
    }
    if (told.isDone) return;
    if (event.type === 'cached' && !step.isFrom) this.#add(told, ' ---> Using cache\n');
    if (told.containerId !== undefined && this.#tellsRemoval) this.#add(told, ` ---> Removed intermediate container ${told.containerId}\n`);
    told.isDone = true;
    // The last one is the image, whose id is known when it is exported.
    if (told !== this.#told.at(-1)) this.#add(told, ` ---> ${shortId(step.imageId ?? event.id)}\n`);
    if (step.triggers) this.#add(told, `# Executing ${step.triggers} build trigger${step.triggers === 1 ? '' : 's'}\n`);
    while (this.#told[this.#at]?.isDone) {
      this.#at += 1;
      this.#tellHead();
    }
  }

  #add(told: Told, text: string, { mayClip = false } = {}): void {
    if (this.#told[this.#at] === told) {
      this.#stream(text, { mayClip });
      return;
    }
    told.heldBytes += text.length;
    if (mayClip && told.heldBytes > MAX_HELD_BYTES) {
      if (!told.isClipped) told.lines.push({ stream: CLIPPED });
      told.isClipped = true;
    } else told.lines.push({ stream: text });
  }

  #stream(text: string, { mayClip = false } = {}): void {
    this.#write({ stream: text }, { mayClip });
  }

  #write(line: unknown, { mayClip = false } = {}): void {
    if (this.#response.destroyed) return;
    if (this.#unsaid) {
      this.#unsaidBytes += JSON.stringify(line).length;
      if (this.#unsaidBytes <= MAX_HELD_BYTES) this.#unsaid.push(line);
      return;
    }
    if (mayClip && this.#response.writableLength > MAX_BACKLOG_BYTES) {
      if (!this.#isClipped) this.#lines.write({ stream: CLIPPED });
      this.#isClipped = true;
      return;
    }
    this.#isClipped = false;
    this.#lines.write(line);
  }

  warn(warnings: readonly string[]): void {
    for (const warning of warnings) this.#stream(`${warning}\n`);
  }

  /** The image is there. */
  end(imageId: string, familiarNames: readonly string[]): void {
    if (this.#unsaid) {
      this.#lines.write({ stream: `${imageId}\n` });
      this.#lines.end();
      return;
    }
    if (this.#told.length > 0) this.#stream(` ---> ${shortId(imageId)}\n`);
    this.#write({ aux: { ID: imageId } });
    this.#stream(`Successfully built ${shortId(imageId)}\n`);
    for (const name of familiarNames) this.#stream(`Successfully tagged ${name}\n`);
    this.#lines.end();
  }

  /** A build that failed: what was said until then stands before it. */
  fail(message: string, code: number | undefined): void {
    for (const line of this.#unsaid ?? []) this.#lines.write(line);
    this.#lines.write({ errorDetail: { ...(code !== undefined ? { code } : {}), message }, error: message });
    this.#lines.end();
  }
}

const CLIPPED = '\n[output clipped: it came faster than it was read]\n';

/** As docker shows ids. */
export function shortId(id: string): string {
  return id.replace(/^(sha256|image):/, '').slice(0, 12);
}
