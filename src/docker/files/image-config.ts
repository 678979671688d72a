import type { ContainerConfig } from '#images/index.ts';
import type { Config } from '../containers/forms.ts';

/** What of a container's Config an image keeps. Pure. */
export function toImageConfig(config: Partial<Config>): ContainerConfig {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal, Shell, OnBuild, Healthcheck } = config;
  const filled = <T extends object>(value: T | null | undefined) => (value && Object.keys(value).length > 0 ? value : undefined);
  const all = {
    User: User || undefined,
    ExposedPorts: filled(ExposedPorts),
    Env: filled(Env),
    Entrypoint: filled(Entrypoint),
    Cmd: filled(Cmd),
    Volumes: filled(Volumes),
    WorkingDir: WorkingDir || undefined,
    Labels: filled(Labels),
    StopSignal: StopSignal || undefined,
    Shell: filled(Shell),
    OnBuild: filled(OnBuild),
    Healthcheck: filled(Healthcheck),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as ContainerConfig;
}
