import type { FieldCause } from '#base/errors.ts';
import type * as types from './types.gen.ts';
import {
  checkDns1035Label,
  checkDnsSubdomain,
  checkPortName,
  checkPortNumber,
  invalid,
  isIp,
  required,
  validateEnum,
} from './validation.ts';

const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
/** What a path may not hold, since nobody agrees on what it means. */
const AMBIGUOUS = ['//', '/./', '/../', '%2f', '%2F'];
const AMBIGUOUS_ENDS = ['/..', '/.'];

/** Rules, backends and hosts of an Ingress. */
export function validateIngressSpec(spec: types.IngressSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!spec.rules?.length && !spec.defaultBackend)
    causes.push(invalid('spec', spec, 'either `defaultBackend` or `rules` must be specified'));
  causes.push(...validateBackend(spec.defaultBackend, 'spec.defaultBackend'));
  spec.rules?.forEach((rule, i) => {
    causes.push(...validateRule(rule, `spec.rules[${i}]`));
  });
  spec.tls?.forEach(({ hosts = [] }, i) => {
    hosts.forEach((host, j) => {
      causes.push(...checkHost(host).map(why => invalid(`spec.tls[${i}].hosts[${j}]`, host, why)));
    });
  });
  const { ingressClassName } = spec;
  if (ingressClassName !== undefined)
    causes.push(...checkDnsSubdomain(ingressClassName).map(why => invalid('spec.ingressClassName', ingressClassName, why)));
  return causes;
}

/** The class is said in one place. */
export function validateIngressClassOnce({ metadata, spec }: types.Ingress): FieldCause[] {
  const named = metadata.annotations?.['kubernetes.io/ingress.class'];
  if (named === undefined || spec.ingressClassName === undefined) return [];
  return [invalid('annotations.kubernetes.io/ingress.class', named, 'can not be set when the class field is also set')];
}

function validateRule({ host, http }: types.IngressRule, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (host && isIp(host)) causes.push(invalid(`${path}.host`, host, 'must be a DNS name, not an IP address'));
  else if (host) causes.push(...checkHost(host).map(why => invalid(`${path}.host`, host, why)));
  if (!http) return causes;
  if (http.paths.length === 0) causes.push(required(`${path}.http.paths`));
  http.paths.forEach((each, i) => {
    causes.push(...validatePath(each, `${path}.http.paths[${i}]`));
  });
  return causes;
}

function validatePath({ path = '', pathType, backend }: types.HTTPIngressPath, at: string): FieldCause[] {
  if (!pathType) return [required(`${at}.pathType`, 'pathType must be specified')];
  const causes = validateEnum(pathType, PATH_TYPES, `${at}.pathType`, true);
  if (pathType !== 'ImplementationSpecific') {
    if (!path.startsWith('/')) causes.push(invalid(`${at}.path`, path, 'must be an absolute path'));
    else {
      const held = AMBIGUOUS.filter(part => path.includes(part)).map(part => `must not contain '${part}'`);
      const ends = AMBIGUOUS_ENDS.filter(end => path.endsWith(end)).map(end => `cannot end with '${end}'`);
      causes.push(...[...held, ...ends].map(why => invalid(`${at}.path`, path, why)));
    }
  } else if (path && !path.startsWith('/')) causes.push(invalid(`${at}.path`, path, 'must be an absolute path'));
  return [...causes, ...validateBackend(backend, `${at}.backend`)];
}

function checkHost(host: string): string[] {
  return checkDnsSubdomain(host.startsWith('*.') ? host.slice(2) : host);
}

function validateBackend(backend: types.IngressBackend | undefined, field: string): FieldCause[] {
  if (!backend) return [];
  const { service, resource } = backend;
  if (!service && !resource) return [required(field, 'must specify a service or a resource')];
  if (service && resource) return [invalid(field, '', 'cannot set both resource and service backends')];
  if (!service) return [];
  const at = `${field}.service`;
  const { name, number } = service.port ?? {};
  const causes = service.name
    ? checkDns1035Label(service.name).map(why => invalid(`${at}.name`, service.name, why))
    : [required(`${at}.name`)];
  if (name && number) causes.push(invalid(`${at}.port`, name, 'cannot set both port name & port number'));
  else if (name) causes.push(...checkPortName(name).map(why => invalid(`${at}.port.name`, name, why)));
  else if (number) causes.push(...checkPortNumber(number).map(why => invalid(`${at}.port.number`, number, why)));
  else causes.push(required(`${at}.port`, 'port name or number is required'));
  return causes;
}
