import type { ProtobufSchema } from '../protobuf-schema.ts';
import type { GrpcCall, GrpcMethod } from './server.ts';

/** A service's methods, as `tools/generate-grpc.ts` writes them. */
export interface MethodType {
  request: object;
  response: object;
  streams?: 'request' | 'response' | 'both';
}

/** What serves one method: answers are promised where there is one, yielded where there are many. */
export type GrpcHandler<M extends MethodType> = M extends { streams: 'response' }
  ? (request: M['request'], call: GrpcCall) => AsyncIterable<M['response']>
  : M extends { streams: 'request' }
    ? (requests: AsyncIterable<M['request']>, call: GrpcCall) => Promise<M['response']>
    : M extends { streams: 'both' }
      ? (requests: AsyncIterable<M['request']>, call: GrpcCall) => AsyncIterable<M['response']>
      : (request: M['request'], call: GrpcCall) => Promise<M['response']>;

/** Handlers of a service by method. */
export type GrpcHandlers<S> = { [Name in keyof S]: S[Name] extends MethodType ? GrpcHandler<S[Name]> : never };

type AnyHandler = (request: unknown, call: GrpcCall) => AsyncIterable<object> | Promise<object>;

/** Methods by path, messages decoded and encoded; methods without a handler are left out, and so answer UNIMPLEMENTED. */
export function bindService<S>(schema: ProtobufSchema, service: string, handlers: Partial<GrpcHandlers<S>>): Map<string, GrpcMethod> {
  const methods = new Map<string, GrpcMethod>();
  for (const [name, [request, response, streams]] of Object.entries(schema.services[service] ?? {})) {
    const handler = (handlers as Record<string, AnyHandler | undefined>)[name];
    if (!handler) continue;
    const decode = (bytes: Buffer) => schema.decode<object>(request, bytes);
    const encode = (message: object) => schema.encode(response, message);
    methods.set(
      `/${service}/${name}`,
      streams === undefined ? toUnary(handler, decode, encode) : toStream(handler, streams, decode, encode),
    );
  }
  return methods;
}

type Decode = (bytes: Buffer) => object;
type Encode = (message: object) => Buffer;

function toUnary(handler: AnyHandler, decode: Decode, encode: Encode): GrpcMethod {
  return { shape: 'unary', handle: async (request, call) => encode(await (handler(decode(request), call) as Promise<object>)) };
}

function toStream(handler: AnyHandler, streams: 'request' | 'response' | 'both', decode: Decode, encode: Encode): GrpcMethod {
  return {
    shape: 'stream',
    async *handle(requests, call) {
      const decoded = map(requests, decode);
      const request = streams === 'response' ? await first(decoded) : decoded;
      const answer = handler(request, call);
      if (streams === 'request') yield encode(await (answer as Promise<object>));
      else yield* map(answer as AsyncIterable<object>, encode);
    },
  };
}

async function* map<From, To>(items: AsyncIterable<From>, convert: (item: From) => To): AsyncGenerator<To> {
  for await (const item of items) yield convert(item);
}

/** An empty message when none was sent: a client may end its side at once. */
async function first(items: AsyncIterable<object>): Promise<object> {
  for await (const item of items) return item;
  return {};
}
