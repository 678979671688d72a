import type { FieldCause } from '#base/errors.ts';
import type { Lifecycle, LifecycleHandler, Probe } from './types.gen.ts';
import { checkPortName, checkPortNumber, forbidden, invalid, required, validateEnum, validateNonNegative } from './validation.ts';

/** A probe of one of the three sorts. */
export function validateProbe(
  probe: Probe | undefined,
  sort: 'livenessProbe' | 'readinessProbe' | 'startupProbe',
  at: string,
): FieldCause[] {
  if (!probe) return [];
  const path = `${at}.${sort}`;
  const causes = validateHandler(probe, path);
  const counts = ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const;
  causes.push(...validateNonNegative(probe, counts, path));
  const { successThreshold, terminationGracePeriodSeconds: grace } = probe;
  if (sort !== 'readinessProbe' && successThreshold !== undefined && successThreshold !== 1)
    causes.push(invalid(`${path}.successThreshold`, successThreshold, 'must be 1'));
  if (grace === undefined) return causes;
  if (sort === 'readinessProbe')
    causes.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes'));
  if (grace <= 0) causes.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  return causes;
}

/** What happens after a start and before a stop. */
export function validateLifecycle(lifecycle: Lifecycle | undefined, grace: number | undefined, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (lifecycle?.postStart) causes.push(...validateHandler(lifecycle.postStart, `${path}.postStart`, grace));
  if (lifecycle?.preStop) causes.push(...validateHandler(lifecycle.preStop, `${path}.preStop`, grace));
  return causes;
}

function validateHandler(handler: Probe & LifecycleHandler, path: string, grace?: number): FieldCause[] {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  const causes: FieldCause[] = [];
  const given = Object.entries({ exec, httpGet, tcpSocket, grpc, sleep }).filter(([, one]) => one !== undefined);
  if (given.length === 0) causes.push(required(path, 'must specify a handler type'));
  for (const [key] of given.slice(1)) causes.push(forbidden(`${path}.${key}`, 'may not specify more than 1 handler type'));
  if (exec && !exec.command?.length) causes.push(required(`${path}.exec.command`));
  if (httpGet) {
    if (!httpGet.path) causes.push(required(`${path}.httpGet.path`));
    causes.push(...validatePort(httpGet.port, `${path}.httpGet.port`));
    causes.push(...validateEnum(httpGet.scheme, ['HTTP', 'HTTPS'], `${path}.httpGet.scheme`));
    httpGet.httpHeaders?.forEach(({ name }) => {
      if (!/^[-A-Za-z0-9]{1,1024}$/.test(name)) {
        const why =
          "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
        causes.push(invalid(`${path}.httpGet.httpHeaders`, name, why));
      }
    });
  }
  if (tcpSocket) causes.push(...validatePort(tcpSocket.port, `${path}.tcpSocket.port`));
  if (grpc) causes.push(...validatePort(grpc.port, `${path}.grpc.port`));
  if (sleep && grace !== undefined && (sleep.seconds < 0 || sleep.seconds > grace))
    causes.push(invalid(`${path}.sleep`, sleep.seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`));
  return causes;
}

function validatePort(port: string | number, field: string): FieldCause[] {
  const wrong = typeof port === 'number' ? checkPortNumber(port) : checkPortName(port);
  return wrong.map(why => invalid(field, port, why));
}
