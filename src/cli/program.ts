/**
 * What can be typed: every command with its arguments, options and examples. The code behind a command is imported in its action, so that
 * `muster --version` loads none of it.
 */
import { Command } from 'commander';
import { type Action, action, argument, type Frame, jsonOption, withExamples } from './command.ts';
import { type ExitCode, wholeNumber } from './context.ts';
import { addHostCommands } from './program-host.ts';
import { addPlaceCommands } from './program-places.ts';
import { ownVersion } from './version.ts';

export function buildProgram(env: NodeJS.ProcessEnv, done: (code: ExitCode) => void): Command {
  const frame: Frame = { env, done };
  const program = new Command('muster')
    .description('Run coding agents on jobs, watch them, and know what became of each.')
    .version(ownVersion(), '-V, --version', 'print the version')
    .option('--home <dir>', 'the installation to work on (default: $MUSTER_HOME or ~/.muster)')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError()
    .helpCommand('help [command]', 'show the help of a command');
  addDaemonCommands(program, frame);
  addWorkCommands(program, frame);
  addJobCommands(program, frame);
  addSessionCommands(program, frame);
  addAdoptCommands(program, frame);
  addTalkCommands(program, frame);
  addPlaceCommands(program, frame);
  addHostCommands(program, frame);
  addReadingCommands(program, frame);
  withExamples(program, [
    'muster up                                      start it; muster down ends it',
    'muster run "fix the failing test" --follow     hand out a job and watch it',
    'muster status                                  who is doing what',
    'muster session attach s-4k2v8q0m1x             sit down at a session; Ctrl-] leaves it',
    'muster why j12                                 why a job ended as it did',
  ]);
  return program;
}

function addDaemonCommands(program: Command, frame: Frame): void {
  const up = program
    .command('up')
    .description('start the daemon in the background; does nothing if it runs')
    .option(
      '--port <n>',
      'listen on this port (default: from the configuration)',
      wholeNumber('--port', { min: 0, max: 65_535 }),
    )
    .option('--wait', 'wait up to 30 s until it is ready, instead of returning within a second')
    .option('--upgrade-host', 'and let the host go on as the installed version, with all sessions; waits')
    .option(...jsonOption);
  action(up, frame, async ({ cli, options }) => (await import('./up.ts')).up(cli, options));
  withExamples(up, ['muster up', 'muster up --wait && muster run "..."', 'muster up --port 0      any free port']);

  const down = program
    .command('down')
    .description('end the daemon, the host and every session')
    .option('--keep-sessions', 'end only the daemon; sessions go on and are found again by the next up')
    .option(...jsonOption);
  action(down, frame, async ({ cli, options }) => (await import('./down.ts')).down(cli, options));
  withExamples(down, ['muster down', 'muster down --keep-sessions && muster up      restart the daemon only']);

  const status = program
    .command('status')
    .description('the daemon, the host, the jobs in numbers and every session')
    .option(...jsonOption);
  action(status, frame, async ({ cli }) => (await import('./status.ts')).status(cli));
  withExamples(status, ['muster status', 'muster status --json']);
}

function addWorkCommands(program: Command, frame: Frame): void {
  const run = program
    .command('run')
    .description('hand out a job')
    .argument('<text>', 'what is to be done; "-" reads it from standard input')
    .option('--project <path>', 'a folder inside the repository (default: the current folder)')
    .option('--persona <name>', 'who does it')
    .option('--agent <name>', 'claude, codex, qwen, ... (default: from the configuration)')
    .option('--verify <command>', 'must end with 0 in a clean checkout of the work')
    .option('--allow-dirty', 'start although there are uncommitted changes, which the job will not see')
    .option('--allow-empty', 'count a job that changes nothing as done')
    .option('--key <key>', 'the same key with the same content gives the job that is already there')
    .option('--follow', 'show what happens until it ends; Ctrl-C leaves it running')
    .option(...jsonOption);
  action(run, frame, async (call) => (await import('./run.ts')).run(call.cli, argument(call, 0), call.options));
  withExamples(run, [
    'muster run "fix the failing test in src/parse" --verify "npm test" --follow',
    'muster run - --agent codex < task.md',
    'muster run "add a --quiet option" --project ~/src/tool --key quiet-1',
  ]);

  const why = program
    .command('why')
    .description('the chain of facts behind a job or the state of a session')
    .argument('<id>', 'a job (j12) or a session (s-...)')
    .option(...jsonOption);
  action(why, frame, async (call) => (await import('./why.ts')).why(call.cli, argument(call, 0)));
  withExamples(why, ['muster why j12', 'muster why s-4k2v8q0m1x --json']);
}

function addJobCommands(program: Command, frame: Frame): void {
  const job = program.command('job').description('list, show, follow, cancel, retry');
  const list = job
    .command('list')
    .description('jobs, newest first')
    .option('--state <state>', 'only queued, running, done, failed, unknown or cancelled ones')
    .option('--limit <n>', 'at most so many', wholeNumber('--limit', { min: 1, max: 500 }))
    .option('--before <id>', 'the next page: only jobs older than this one')
    .option(...jsonOption);
  action(list, frame, async ({ cli, options }) => (await import('./job.ts')).listJobs(cli, options));
  byId(job, frame, {
    verb: 'show',
    what: 'a job with its attempts',
    run: async (call) => (await import('./job.ts')).showJob(call.cli, argument(call, 0)),
  });
  byId(job, frame, {
    verb: 'follow',
    what: 'show what happens to a job until it ends; Ctrl-C leaves it running',
    run: async (call) => (await import('./follow.ts')).followCommand(call.cli, argument(call, 0)),
  });
  byId(job, frame, {
    verb: 'cancel',
    what: 'end a job; work done so far is kept on a ref',
    run: async (call) => (await import('./job.ts')).cancelJob(call.cli, argument(call, 0)),
  });
  byId(job, frame, {
    verb: 'retry',
    what: 'queue an ended job again',
    run: async (call) => (await import('./job.ts')).retryJob(call.cli, argument(call, 0)),
  });
  withExamples(job, ['muster job list --state running', 'muster job show j12', 'muster job retry j12']);
}

interface Verb {
  readonly verb: string;
  readonly what: string;
  readonly run: Action;
}

/** A verb on one job or session. */
function byId(parent: Command, frame: Frame, { verb, what, run }: Verb): Command {
  const noun = parent.name();
  const example = noun === 'job' ? 'j12' : 's-4k2v8q0m1x';
  const command = parent
    .command(verb)
    .description(what)
    .argument('<id>', `the ${noun}, like ${example}`)
    .option(...jsonOption);
  withExamples(command, [`muster ${noun} ${verb} ${example}`]);
  return action(command, frame, run);
}

function addSessionCommands(program: Command, frame: Frame): void {
  const session = program
    .command('session')
    .description('list, show, attach, tail, send, stop, approve, deny, interrupt, adopt, release, tree');
  const list = session
    .command('list')
    .description('every session with its state')
    .option(...jsonOption);
  action(list, frame, async ({ cli }) => (await import('./session.ts')).listSessions(cli));
  byId(session, frame, {
    verb: 'show',
    what: 'everything about one session',
    run: async (call) => (await import('./session.ts')).showSession(call.cli, argument(call, 0)),
  });
  const attach = session
    .command('attach')
    .description('its terminal in your terminal')
    .argument('<id>', 'the session, like s-4k2v8q0m1x')
    .option('--view', 'only look: nothing that you type reaches it')
    .option('--detach-key <key>', 'the key that leaves it, like ctrl-] or ctrl-q', 'ctrl-]');
  action(attach, frame, async (call) =>
    (await import('./attach.ts')).attach(call.cli, argument(call, 0), call.options),
  );
  withExamples(attach, ['muster session attach s-4k2v8q0m1x', 'muster session attach s-4k2v8q0m1x --view']);
  byId(session, frame, {
    verb: 'tail',
    what: 'the last lines of its terminal as text',
    run: async (call) => (await import('./tail.ts')).tailSession(call.cli, argument(call, 0), call.options),
  })
    .option('-n, --lines <n>', 'so many lines', wholeNumber('--lines', { min: 1, max: 2000 }), 40)
    .option('-f, --follow', 'go on as it changes');
  byId(session, frame, {
    verb: 'stop',
    what: 'end a session and everything it started',
    run: async (call) => (await import('./session.ts')).stopSession(call.cli, argument(call, 0), call.options),
  })
    .option('--grace <ms>', 'time to end by itself', wholeNumber('--grace', { min: 0, max: 60_000 }))
    .option('--force', 'also an agent that a person started in tmux or cmux');
  withExamples(session, [
    'muster session list',
    'muster session attach s-4k2v8q0m1x',
    'muster session approve s-4k2v8q0m1x',
  ]);
}

/** Agents that a person started in a terminal of theirs. */
function addAdoptCommands(program: Command, frame: Frame): void {
  const session = program.commands.find((command) => command.name() === 'session') ?? program;
  const adopt = session
    .command('adopt')
    .description('show and talk to an agent that runs in tmux or cmux; it stays where it is')
    .argument('<target>', 'tmux:PANE, tmux:SOCKET/PANE or cmux:SURFACE, as `session tree` shows them')
    .option('--agent <name>', 'claude, codex, ...; by default the one that is found there')
    .option('--role <name>', 'what it is called (default: the agent and a number)')
    .option(...jsonOption);
  action(adopt, frame, async (call) =>
    (await import('./adopt.ts')).adoptSession(call.cli, argument(call, 0), call.options),
  );
  withExamples(adopt, [
    'muster session adopt tmux:%3',
    'muster session adopt tmux:work/dev:1.0 --role "Reviewer"',
    'muster session adopt cmux:surface:2 --agent codex',
  ]);
  byId(session, frame, {
    verb: 'release',
    what: 'stop watching an adopted session; what runs there goes on',
    run: async (call) => (await import('./adopt.ts')).releaseSession(call.cli, argument(call, 0)),
  });
  const tree = session
    .command('tree')
    .description('tmux servers and cmux windows with the agents in them, and what is adopted')
    .option(...jsonOption);
  action(tree, frame, async ({ cli }) => (await import('./tree.ts')).sessionTree(cli));
  withExamples(tree, ['muster session tree', 'muster session tree --json']);
}

/** What is said to an agent; each prints a receipt. */
function addTalkCommands(program: Command, frame: Frame): void {
  const session = program.commands.find((command) => command.name() === 'session') ?? program;
  const send = session
    .command('send')
    .description('type a text and submit it; prints whether the agent took it')
    .argument('<id>', 'the session')
    .argument('<text>', 'the text; "-" reads it from standard input; after "--" it may begin with a dash')
    .option('--queue <seconds>', 'wait so long for its prompt', wholeNumber('--queue', { min: 1, max: 600 }))
    .option('--over-draft', "empty its input box first if somebody's draft stands there")
    .option('--raw', 'send it also if the agent takes it for a command (a leading ! or /)')
    .option('--input-id <id>', 'what was typed under this id already is not typed again')
    .option(...jsonOption);
  action(send, frame, async (call) => {
    const asked = { ...call.options, id: argument(call, 0), text: argument(call, 1) };
    return (await import('./session.ts')).sendText(call.cli, asked);
  });
  withExamples(send, [
    'muster session send s-4k2v8q0m1x "also update the changelog"',
    'muster session send s-4k2v8q0m1x --queue 120 - < notes.md',
  ]);
  for (const [verb, decision] of [['approve', 'allow'] as const, ['deny', 'deny'] as const]) {
    byId(session, frame, {
      verb,
      what: decision === 'allow' ? 'let it do what it asks for' : 'refuse what it asks for',
      run: async (call) =>
        (await import('./session.ts')).answerPermission(call.cli, argument(call, 0), { ...call.options, decision }),
    }).option('--permission <id>', 'only if it still asks for this one (see: session show)');
  }
  byId(session, frame, {
    verb: 'interrupt',
    what: 'stop its turn; the session goes on',
    run: async (call) => (await import('./session.ts')).interruptSession(call.cli, argument(call, 0)),
  });
}

function addReadingCommands(program: Command, frame: Frame): void {
  const open = program
    .command('open')
    .description('print an address that opens the web page, good for one login')
    .option(...jsonOption);
  action(open, frame, async ({ cli }) => (await import('./open.ts')).open(cli));
  withExamples(open, ['muster open', 'xdg-open "$(muster open)"']);

  const doctor = program
    .command('doctor')
    .description('check what Muster needs; works without a daemon')
    .option(...jsonOption);
  action(doctor, frame, async ({ cli }) => (await import('./doctor.ts')).doctor(cli));
  withExamples(doctor, ['muster doctor', 'muster doctor --json']);

  const config = program.command('config').description('show the configuration');
  const show = config
    .command('show')
    .description('every setting in force, with defaults; values of environment variables are hidden')
    .option(...jsonOption);
  action(show, frame, async ({ cli }) => (await import('./config.ts')).showConfig(cli));
  withExamples(config, ['muster config show']);

  const replay = program
    .command('replay')
    .description('recordings in, state changes out; works without a daemon')
    .argument('<file...>', 'asciicast v2 files')
    .option('--agent <name>', 'the agent, where the header does not tell it')
    .option('--agent-version <version>', 'its version, where the header does not tell it')
    .option(...jsonOption);
  action(replay, frame, async ({ cli, options }) => (await import('./replay.ts')).replay(cli, replay.args, options));
  withExamples(replay, ['muster replay session.cast', 'muster replay *.cast --json']);

  const events = program
    .command('events')
    .description('what happened, oldest first; the newest 100, or the first 100 of a job')
    .option(
      '--after <seq>',
      'only what came later than this event',
      wholeNumber('--after', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    )
    .option('--limit <n>', 'at most so many', wholeNumber('--limit', { min: 1, max: 1000 }))
    .option('--job <id>', 'only of this job')
    .option('--follow', 'go on as it happens, until Ctrl-C')
    .option(...jsonOption);
  action(events, frame, async ({ cli, options }) => (await import('./events.ts')).events(cli, options));
  withExamples(events, ['muster events --job j12', 'muster events --follow --json']);
}
