/** Sessions as lines. Titles, reasons and summaries come from agents: they are cleaned before they reach the terminal. */
import { formatDuration } from '../../base/clock.ts';
import { oneLine } from '../../base/text.ts';
import type { SessionView } from '../../protocol/session.ts';
import type { Cli } from '../context.ts';
import { sessionColours } from './style.ts';
import { tableLines } from './table.ts';
import { formatBytes, localTime } from './time.ts';

type Screen = Pick<Cli, 'width' | 'paint'>;
const textMax = 200;

/** What it waits for or why it is in its state. */
function detailOf({ state, permission, error, reason }: SessionView): string {
  if (permission && state === 'permission') return oneLine(`${permission.tool}: ${permission.summary}`, textMax);
  if (error) return oneLine(error.message, textMax);
  return oneLine(reason, textMax);
}

export function sessionTable(
  { width, paint }: Screen,
  sessions: readonly SessionView[],
  now: number,
): readonly string[] {
  return tableLines({
    width,
    paint,
    columns: [
      { title: 'SESSION' },
      { title: 'AGENT', flexible: true },
      { title: 'STATE' },
      { title: 'FOR' },
      { title: 'MEMORY' },
      { title: 'TITLE', flexible: true },
      { title: 'DETAIL', flexible: true },
    ],
    rows: sessions.map((session) => [
      session.kind === 'own' ? session.id : `${session.id} (${session.kind})`,
      oneLine(`${session.agent} ${session.agentVersion}`, textMax),
      { text: session.state, colour: sessionColours[session.state] },
      formatDuration(Math.max(0, now - session.since)),
      session.memoryBytes === null ? '' : formatBytes(session.memoryBytes),
      oneLine(session.title, textMax),
      detailOf(session),
    ]),
  });
}

export function sessionLines({ paint }: Screen, session: SessionView, now: number): readonly string[] {
  const { permission, error, exit } = session;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['session', session.id],
    ['state', `${paint(sessionColours[session.state], session.state)} since ${localTime(session.since, now)}`],
    ['because', `${oneLine(session.reason, textMax)} (${session.source})`],
    [
      'asks for',
      permission ? `${oneLine(`${permission.tool}: ${permission.summary}`, 500)}  [${permission.id}]` : undefined,
    ],
    [
      'error',
      error
        ? oneLine(`${error.kind}${error.http === undefined ? '' : ` ${error.http}`}: ${error.message}`, 500)
        : undefined,
    ],
    [
      'agent',
      `${session.agent} ${oneLine(session.agentVersion, 60)}${session.agentTested ? '' : ' (not a tested version)'}`,
    ],
    ['adopted', session.place === null ? undefined : oneLine(`${session.role ?? ''} in ${session.place}`, 500)],
    [
      'persona',
      `${oneLine(session.persona, textMax)}${session.personaVersion === null ? '' : `  ${session.personaVersion}`}`,
    ],
    ...session.unkeptRules.map(({ rule, reason, weaker }): [string, string] => [
      'not kept',
      paint(weaker ? 'yellow' : 'dim', oneLine(`${rule} (${reason})`, 500)),
    ]),
    ['title', oneLine(session.title, textMax)],
    ['folder', oneLine(session.cwd, 1000)],
    ['process', session.pid === null ? undefined : `pid ${session.pid}, since ${localTime(session.startedAt, now)}`],
    ['memory', session.memoryBytes === null ? undefined : formatBytes(session.memoryBytes)],
    ['turns', `${session.turns}, tool calls ${session.toolCalls}`],
    ['resume id', session.resumeId === null ? undefined : oneLine(session.resumeId, textMax)],
    ['resumed', session.resumes === undefined ? undefined : 'after the PTY host had died, with its own conversation'],
    ['ended', exit ? `${exitText(exit)} at ${localTime(exit.at, now)}` : undefined],
  ];
  return rows.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name.padEnd(10)} ${value}`]));
}

export const exitText = ({ code, signal }: { readonly code: number | null; readonly signal: string | null }): string =>
  signal === null ? `exit code ${code ?? 'unknown'}` : `signal ${signal}`;
