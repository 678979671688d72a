import type { ContainerConfig } from '#images/index.ts';

/** What an operation reads from: the client's context, a vertex's file system, or files by address. */
export type CopySource =
  | { kind: 'context'; paths: string[] }
  | { kind: 'vertex'; vertex: number; paths: string[] }
  /** Each is a file or an address; `ADD` takes both. */
  | { kind: 'addresses'; addresses: string[]; paths: string[]; checksum?: string };

export interface CopyOperation {
  kind: 'copy';
  source: CopySource;
  /** Absolute; ends in `/` when it must be a directory. */
  destination: string;
  /** `user[:group]` by number or by the file system's own names; root when absent. */
  chown?: string;
  mode?: number;
  /** Archives are unpacked in the place of being copied (`ADD`). */
  unpacks: boolean;
  /** For messages and history: `COPY` or `ADD`. */
  keyword: 'COPY' | 'ADD';
}

export interface RunOperation {
  kind: 'run';
  args: string[];
  env: readonly string[];
  /** In the container, too, but no part of what it is: proxies. */
  hiddenEnv: string[];
  workingDir: string;
  user: string;
}

/** Where a file system begins: an image's, by its layers; none are an empty one. */
export interface ImageOperation {
  kind: 'image';
  /** As it is called in the Dockerfile. */
  reference: string;
  imageId?: string;
  diffIds: readonly string[];
}

/** One thing to do. Its result depends on what stands here and on its inputs' results, and on nothing else. */
export type Operation =
  | ImageOperation
  | RunOperation
  | CopyOperation
  | { kind: 'mkdir'; path: string }
  /** Changes no file. */
  | { kind: 'config'; change: string };

/** A node of a build's graph. Inputs come before it in the list of vertices. */
export interface Vertex {
  operation: Operation;
  /** Whose file system it goes on from; of a `config`: what it follows. */
  base?: number;
  /** What people read of it: how it came into an image's history. */
  createdBy: string;
}

/** What the front end of a build hands to the solver, and what is to become of the result. */
export interface BuildGraph {
  vertices: Vertex[];
  result: StageResult;
}

/** What a stage comes to. */
export interface StageResult {
  /** Its last vertex, and of all those that changed files the last. */
  vertex: number;
  fileSystem: number;
  /** All of its own vertices and of those stages that it builds on, in order; the image itself is not among them. */
  chain: number[];
  config: ContainerConfig;
  author?: string;
  /** The image that it began with. */
  baseImage?: string;
}
