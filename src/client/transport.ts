/** One call of the API as the typed client makes it. */
export interface TransportRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with query: `/api/v1/namespaces/x/pods?limit=5`. */
  path: string;
  /** A JSON value; the transport owns how it travels. */
  body?: unknown;
  /** Default `application/json`. */
  contentType?: string;
  signal?: AbortSignal;
}

export interface TransportResponse {
  status: number;
  /** The parsed body; the caller may keep and change it. */
  body: unknown;
}

/** The wire below the client: HTTPS from another process, or the API server's pipeline in this one. */
export interface Transport {
  request(request: TransportRequest): Promise<TransportResponse>;
  /**
   * A watch. Calls `receive` with each frame (`{ type, object }`) in order; resolves when the server ended it or `signal` aborted.
   * Where `receive` returns a promise, the reader is behind: nothing more should be read until it resolves.
   * A refusal before the first frame rejects with the `UmiakError` made from the server's Status.
   */
  watch(request: { path: string; signal: AbortSignal; receive: (frame: WatchFrame) => Promise<void> | undefined }): Promise<void>;
}

export interface WatchFrame {
  type: string;
  object: unknown;
}
