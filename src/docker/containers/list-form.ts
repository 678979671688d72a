import type { DockerContainer } from '../rooms.ts';
import type { EndpointSettings, Port } from './forms.ts';
import type { Status } from './state-words.ts';

export interface SummaryFacts {
  status: Status;
  text: string;
  ports: Port[];
  networks: Record<string, EndpointSettings>;
  /** What the image is called now; its id where its name means another one. */
  image: string;
  /** What it is called by containers that link it. */
  linkNames?: readonly string[] | undefined;
  size?: { rw: number; rootFs: number } | undefined;
  apiMinor: number;
}

/** An entry of `GET /containers/json`. Pure. */
export function toContainerSummary({ id, name, data, engine }: DockerContainer, facts: SummaryFacts): Record<string, unknown> {
  const { status, text, ports, networks, image, linkNames = [], size, apiMinor } = facts;
  const { NetworkMode, Annotations } = data.hostConfig;
  return {
    Id: id,
    Names: [`/${name}`, ...linkNames],
    Image: image,
    ImageID: engine.imageId,
    Command: toCommand(data.path, data.args),
    Created: Math.floor(engine.createdAtMs / 1000),
    Ports: ports,
    ...(size ? { SizeRw: size.rw, SizeRootFs: size.rootFs } : {}),
    Labels: data.config.Labels,
    State: status,
    Status: text,
    HostConfig: { NetworkMode, ...(apiMinor >= 46 && Annotations ? { Annotations } : {}) },
    NetworkSettings: { Networks: networks },
    Mounts: data.mounts.map(({ point }) => point),
  };
}

/** As docker shows it: arguments with blanks in quotes. Pure. */
function toCommand(path: string, args: readonly string[]): string {
  return [path, ...args.map(arg => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
}
