import type { ContainerStateTerminated } from '#kinds/types.gen.ts';

const SIGNALS: Record<number, string> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
};

const PROBE_ADVICE = 'Check what the probe asks for; if the program only needs longer, raise failureThreshold or timeoutSeconds.';

/** What is known besides how it ended. */
export interface ExitFacts {
  /** `128Mi`, when the container has one. */
  memoryLimit?: string | undefined;
  /** The node agent killed it, since its liveness or startup probe failed. */
  wasKilledByProbe: boolean;
  /** It is expected to run on, and is started again even after success. */
  isRestartedAlways: boolean;
}

/** What an exit code means, and what to do about it. */
export function explainExit({ exitCode, reason, signal }: ContainerStateTerminated, facts: ExitFacts): { meaning: string; todo: string[] } {
  const { memoryLimit, wasKilledByProbe, isRestartedAlways } = facts;
  if (reason === 'OOMKilled')
    return {
      meaning: `it was killed because it used more memory than its limit${memoryLimit ? ` of ${memoryLimit}` : ''} (OOMKilled, exit code ${exitCode})`,
      todo: ['Raise resources.limits.memory, or make the program use less (many runtimes must be told the limit).'],
    };
  if (reason === 'MonitorLost')
    return {
      meaning: 'its monitor process (conmon) was killed, so nobody knows its real exit code (MonitorLost, counted as 137)',
      todo: ['Find out who killed conmon on this machine; if it was the kernel, the machine itself is short of memory.'],
    };
  if (reason === 'ContainerCannotRun' || reason === 'StartError')
    return {
      meaning: `it could not be started (exit code ${exitCode})`,
      todo: ['Check command, args and workingDir against what is in the image.'],
    };
  if (exitCode === 137 && wasKilledByProbe)
    return {
      meaning: 'it was killed because its probe failed, and did not end in its grace period (SIGKILL, exit code 137)',
      todo: [PROBE_ADVICE, 'Let the program end at SIGTERM.'],
    };
  switch (exitCode) {
    case 0:
      return isRestartedAlways
        ? {
            meaning: 'it ended without an error (exit code 0), but its pod wants it to run on (restartPolicy Always)',
            todo: ['Keep the program in the foreground, or run it as a Job when it should end.'],
          }
        : { meaning: 'it ended without an error (exit code 0)', todo: [] };
    case 126:
      return {
        meaning: 'its command was found but can’t be executed (exit code 126)',
        todo: ['Make the file executable in the image, and check that it is built for this machine’s architecture.'],
      };
    case 127:
      return {
        meaning: 'its command, or one that it calls, is not in the image (exit code 127)',
        todo: ['Check command and args for typing errors, and that the image has the program in its PATH.'],
      };
    case 137:
      return {
        meaning: 'it was killed from outside (SIGKILL, exit code 137), not for its memory limit',
        todo: ['Look whether it was stopped and did not end in its grace period, or whether the machine itself was short of memory.'],
      };
    case 139:
      return {
        meaning: 'it crashed: it touched memory that is not its own (SIGSEGV, exit code 139)',
        todo: ['This is a defect of the program or of a library in its image; try another version.'],
      };
    case 143:
      return wasKilledByProbe
        ? { meaning: 'it was ended because its probe failed (SIGTERM, exit code 143)', todo: [PROBE_ADVICE] }
        : { meaning: 'it was asked to end (SIGTERM, exit code 143) and did', todo: [] };
  }
  const by = signal || (exitCode > 128 && exitCode < 160 ? exitCode - 128 : 0);
  if (by) return { meaning: `it was ended by ${SIGNALS[by] ?? `signal ${by}`} (exit code ${exitCode})`, todo: [] };
  return {
    meaning: `it ended with exit code ${exitCode}${exitCode === 1 || exitCode === 2 ? ', which programs use for errors of their own' : ''}`,
    todo: ['Its own words tell more: umiak logs shows them.'],
  };
}
