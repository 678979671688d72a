import { UmiakError } from '#base/errors.ts';

/** The form of an answer: which encoding, and whether the object itself, a table of it or only its metadata. */
export interface Media {
  encoding: 'json' | 'yaml';
  as: 'object' | 'table' | 'partial' | 'discovery';
  /** The type to name in the answer. */
  contentType: string;
}

const PLAIN: Media = { encoding: 'json', as: 'object', contentType: 'application/json' };
const YAML: Media = { encoding: 'yaml', as: 'object', contentType: 'application/yaml' };
const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

const remembered = new Map<string, Media | undefined>();

/** Chooses the first form of the `Accept` header that can be had. @throws `NotAcceptable` */
export function negotiate(accept: string | undefined): Media {
  if (!accept) return PLAIN;
  if (!remembered.has(accept)) {
    if (remembered.size > 500) remembered.clear();
    remembered.set(accept, choose(accept));
  }
  const media = remembered.get(accept);
  if (!media) throw new UmiakError('NotAcceptable', 'only the following media types are accepted: application/json, application/yaml');
  return media;
}

function choose(accept: string): Media | undefined {
  const offers = accept.split(',').map((text, index) => {
    const [type = '', ...parameters] = text.split(';').map(part => part.trim());
    const named = new Map(parameters.map(parameter => parameter.split('=', 2) as [string, string | undefined]));
    return { type: type.toLowerCase(), named, quality: Number(named.get('q') ?? 1), index };
  });
  offers.sort((a, b) => b.quality - a.quality || a.index - b.index);
  for (const { type, named, quality } of offers) {
    if (!(quality > 0)) continue;
    const media = mediaFor(type, named);
    if (media) return media;
  }
  return undefined;
}

function mediaFor(type: string, parameters: Map<string, string | undefined>): Media | undefined {
  const as = parameters.get('as');
  if (as !== undefined) {
    if (type !== 'application/json') return undefined;
    const [group, version] = [parameters.get('g'), parameters.get('v')];
    if (as === 'APIGroupDiscoveryList')
      return group === 'apidiscovery.k8s.io' && version === 'v2'
        ? { encoding: 'json', as: 'discovery', contentType: AGGREGATED }
        : undefined;
    if (group !== 'meta.k8s.io' || version !== 'v1') return undefined;
    if (as === 'Table') return { encoding: 'json', as: 'table', contentType: 'application/json' };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { encoding: 'json', as: 'partial', contentType: 'application/json' };
    return undefined;
  }
  if (type === 'application/json' || type === '*/*' || type === 'application/*') return PLAIN;
  if (type === 'application/yaml' || type === 'application/x-yaml') return YAML;
  return undefined;
}
