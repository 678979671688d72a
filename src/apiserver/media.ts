import { UmiakError } from '#base/errors.ts';
import type { Route } from './request.ts';

/** The form of an answer: which encoding, and whether the object itself, a table of it or only its metadata. */
export interface Media {
  encoding: 'json' | 'yaml' | 'protobuf';
  as: 'object' | 'table' | 'partial' | 'discovery';
  /** The type to name in the answer. */
  contentType: string;
  /** A table or metadata under the name they had before `v1`. */
  isBeta?: true;
}

/** What can be had: built-in kinds in all forms, custom resources not in protobuf, streams of events not in YAML. */
export interface Offer {
  isCustom?: boolean;
  isStream?: boolean;
  /** Paths that have one form and give it to whoever asks: health, metrics, proxied answers. */
  isFixed?: boolean;
  /** Reviews and the like are neither rows nor have they metadata. */
  isBare?: boolean;
}

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const PLAIN: Media = { encoding: 'json', as: 'object', contentType: 'application/json' };
const YAML: Media = { encoding: 'yaml', as: 'object', contentType: 'application/yaml' };
const AGGREGATED = ';g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
const CONNECTED = new Set(['log', 'exec', 'attach', 'portforward', 'proxy']);

const remembered = new Map<string, Media | undefined>();

/** What a route has to offer. */
export function offerOf(route: Route): Offer {
  if (route.type === 'path') return { isFixed: !/^\/apis?(\/|$)/.test(route.path) };
  const { served, verb, subresource } = route;
  return {
    isCustom: served.kind.openApi !== undefined,
    isStream: verb === 'watch',
    isFixed: CONNECTED.has(subresource),
    isBare: !served.resource.verbs.includes('list'),
  };
}

/** Chooses the best form of the `Accept` header that can be had. @throws `NotAcceptable` */
export function negotiate(accept: string | undefined, offer: Offer = {}): Media {
  if (!accept) return PLAIN;
  const key = `${offer.isCustom ? 'c' : ''}${offer.isStream ? 's' : ''}${offer.isBare ? 'b' : ''} ${accept}`;
  if (!remembered.has(key)) {
    if (remembered.size > 500) remembered.clear();
    remembered.set(key, choose(accept, offer));
  }
  const media = remembered.get(key);
  if (media) return media;
  if (offer.isFixed) return PLAIN;
  const types = ['application/json', ...(offer.isStream ? [] : ['application/yaml']), ...(offer.isCustom ? [] : [PROTOBUF])];
  throw new UmiakError('NotAcceptable', `only the following media types are accepted: ${types.join(', ')}`);
}

/** The form of a refusal: the one asked for, or JSON. */
export function mediaOfError(accept: string | undefined): Media {
  const media = negotiate(accept, { isFixed: true });
  return media.as === 'object' ? media : (choose(accept!.replaceAll(/;\s*as=[^;,]*/g, ''), {}) ?? PLAIN);
}

function choose(accept: string, offer: Offer): Media | undefined {
  const offers = accept.split(',').map((text, index) => {
    const [type = '', ...parameters] = text.split(';').map(part => part.trim());
    const named = new Map(parameters.map(parameter => parameter.split('=', 2) as [string, string | undefined]));
    const wild = type.startsWith('*') ? 2 : type.endsWith('/*') ? 1 : 0;
    return { type: type.toLowerCase(), named, quality: Number(named.get('q') ?? 1), wild, index };
  });
  offers.sort((a, b) => b.quality - a.quality || a.wild - b.wild || a.index - b.index);
  for (const { type, named, quality } of offers) {
    if (!(quality > 0)) continue;
    const media = mediaFor(type, named, offer);
    if (media) return media;
  }
  return undefined;
}

function mediaFor(type: string, parameters: Map<string, string | undefined>, { isCustom, isStream, isBare }: Offer): Media | undefined {
  const plain = encodingFor(type);
  if (!plain || (isStream && plain.encoding === 'yaml')) return undefined;
  const as = parameters.get('as');
  const { encoding } = plain;
  const contentType = encoding === 'protobuf' && isStream ? `${PROTOBUF};stream=watch` : plain.contentType;
  if (as === undefined) return isCustom && encoding === 'protobuf' ? undefined : { ...plain, contentType };
  const [group, version] = [parameters.get('g'), parameters.get('v')];
  if (as === 'APIGroupDiscoveryList')
    return group === 'apidiscovery.k8s.io' && version === 'v2' && encoding !== 'yaml'
      ? { encoding, as: 'discovery', contentType: plain.contentType + AGGREGATED }
      : undefined;
  if (isBare || group !== 'meta.k8s.io' || (as === 'Table' && encoding === 'protobuf')) return undefined;
  if (version !== 'v1' && (version !== 'v1beta1' || encoding === 'protobuf')) return undefined;
  const form = { encoding, contentType, ...(version === 'v1beta1' && { isBeta: true as const }) };
  if (as === 'Table') return { ...form, as: 'table' };
  return as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList' ? { ...form, as: 'partial' } : undefined;
}

function encodingFor(type: string): Media | undefined {
  if (type === 'application/json' || type === '*/*' || type === 'application/*') return PLAIN;
  if (type === 'application/yaml' || type === 'application/x-yaml') return YAML;
  return type === PROTOBUF ? { encoding: 'protobuf', as: 'object', contentType: PROTOBUF } : undefined;
}
