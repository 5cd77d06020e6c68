/**
 * Memory for jobs and for the pool, from one gate: what the configuration says, who uses which session, and what is told when one is
 * retired. The decisions are `policy`'s, the carrying out is `sessions/admission.ts`.
 */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { delay } from '../base/wait.ts';
import type { Ledger } from '../ledger/index.ts';
import type { JobView } from '../protocol/job.ts';
import {
  type AdmissionAnswer,
  type InUse,
  openAdmission,
  type Pool,
  type Retired,
  type Sessions,
} from '../sessions/index.ts';
import type { Config } from './config.ts';

export interface MemoryGate {
  readonly askForJob: (job: JobView, inUse: readonly InUse[]) => Promise<AdmissionAnswer>;
  /** Resolves with true when there is memory for a session that is to stand ready; with false when the daemon stops. */
  readonly roomForWarm: (sessionId: string, agent: string) => Promise<boolean>;
  /** From here on idle sessions may be retired: it is known who uses which. */
  readonly follow: (users: {
    readonly pool: Pick<Pool, 'entries' | 'retire'>;
    readonly inUse: () => readonly InUse[];
  }) => void;
  readonly close: () => Promise<void>;
}

export interface MemoryGateOptions {
  readonly config: Config;
  readonly sessions: Sessions;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

const megabyte = 1024 * 1024;
const bytesOf = (megabytes: number | undefined): number | undefined =>
  megabytes === undefined ? undefined : Math.round(megabytes * megabyte);

export const sessionBytesMax = ({ limits }: Config): number | undefined => bytesOf(limits.sessionMegabytes);

export function openMemoryGate({ config, sessions, ledger, clock, log }: MemoryGateOptions): MemoryGate {
  let users: Parameters<MemoryGate['follow']>[0] | undefined;
  /** Warm sessions that were let in and are not at their prompt yet; one that still waits must not stand in the way of another. */
  const letIn = new Set<string>();
  let closed = false;
  const entries = () => users?.pool.entries() ?? [];
  /** What the pool has given away, is making ready or is ending. */
  const ofPool = (): InUse[] =>
    entries()
      .filter(({ id, phase }) => phase !== 'ready' && (phase !== 'starting' || letIn.has(id)))
      .map(({ id, agent }) => ({ sessionId: id, agent }));
  const admission = openAdmission({
    sessions,
    retireFromPool: async (id, why) => (await users?.pool.retire(id, why)) ?? false,
    clock,
    log,
    reserveBytes: bytesOf(config.limits.reserveMegabytes),
    pressurePercent: config.limits.pressurePercent,
    configuredBytes: (agent) =>
      bytesOf(Object.entries(config.agents).find(([id]) => id === agent)?.[1]?.memoryMegabytes),
    inUse: () => users && [...users.inUse(), ...ofPool()],
    isWarm: (id) => entries().some((entry) => entry.id === id && entry.kind === 'warm'),
    onRetired: tellRetired(ledger, log),
  });
  return {
    askForJob: (job, inUse) => {
      const ready = entries().find(
        ({ phase, project, persona, agent }) =>
          phase === 'ready' && project === job.projectPath && persona === job.persona && agent === job.agent,
      );
      return admission.ask({
        agent: job.agent,
        purpose: 'job',
        inUse: () => [...(users?.inUse() ?? inUse), ...ofPool()],
        ...(ready ? { reuses: ready.id } : {}),
      });
    },
    roomForWarm: async (sessionId, agent) => {
      while (!closed) {
        const answer = await admission.ask({
          agent,
          purpose: 'warm',
          inUse: () => [...(users?.inUse() ?? []), ...ofPool()],
        });
        if (answer.kind === 'admit') {
          for (const id of letIn) if (!entries().some((entry) => entry.id === id)) letIn.delete(id);
          letIn.add(sessionId);
          return true;
        }
        await delay(answer.retryMs);
      }
      return false;
    },
    follow: (given) => {
      users = given;
    },
    close: () => {
      closed = true;
      return admission.close();
    },
  };
}

const tellRetired =
  (ledger: Ledger, log: Log) =>
  ({ session, shortage, reason, idleForMs }: Retired): void => {
    const { id, memoryBytes, persona } = session;
    ledger
      .record({ type: 'session.retired', sessionId: id, data: { shortage, reason, memoryBytes, idleForMs, persona } })
      .catch((error: unknown) => log.error({ session: id, error }, 'a retirement could not be written to the ledger'));
  };
