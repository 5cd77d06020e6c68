/**
 * The real agent CLIs keep the rules of a persona, and their user's settings stay as they are: a job with a strict persona, in a HOME
 * whose files are compared before and after. What each CLI itself writes there is named.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ModelServer, openModelServer } from '../peers/model-server.ts';
import { openStage, type Stage } from '../system/stage.ts';
import { subjects } from './subjects.ts';

/** What the CLI writes into its user's HOME by itself, with or without us, as seen; the rest must be byte for byte as it was. */
const ownWrites: Readonly<Record<string, RegExp>> = {
  claude:
    /^(\.claude\.json|\.claude\/(backups|projects|sessions|shell-snapshots|session-env|todos|file-history|cache|plugins)\/.+|\.claude\/history\.jsonl|\.local\/share\/applications\/claude-code-url-handler\.desktop)$/,
  codex:
    /^\.codex\/(config\.toml|\.sandbox_migration|installation_id|version\.json|history\.jsonl|[a-z_]+_\d+\.sqlite(-shm|-wal)?|session_index\.jsonl(\.lock)?|models_cache\.json|(\.tmp|sessions|shell_snapshots|thread-writer-locks|tui-thread-reference-capabilities|log|tmp|skills\/\.system)\/.+)$/,
  qwen: /^(\.qwen\/(installation_id|output-language\.md|tip_history\.json|(projects|tmp|debug|todos|insight|usage)\/.+)|\.config\/configstore\/update-notifier-@qwen-code\/qwen-code\.json)$/,
};
/** Settings of the user beside those of the subject's seed. None of them may change. */
const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  claude: {
    '.claude/settings.json': '{"permissions": {"deny": ["WebSearch"]}}\n',
    '.claude/CLAUDE.md': 'Mine.\n',
  },
  codex: { '.codex/AGENTS.md': 'Mine.\n', '.codex/rules/default.rules': '' },
  qwen: {
    '.qwen/QWEN.md': 'Mine.\n',
    '.qwen/settings.json': '{"security":{"auth":{"selectedType":"openai"}},"$version":4}\n',
  },
};

function filesOf(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return Object.fromEntries(
    names
      .filter((name) => lstatSync(join(root, name)).isFile())
      .toSorted()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(root, name)))
          .digest('hex'),
      ]),
  );
}

const strict = `---
permissions: all
unkept_rules: tell
rules:
  deny:
    - { tool: shell, command: "touch *" }
    - { tool: search }
---
Work.
`;

describe.each(subjects.filter(({ program }) => program !== undefined))('$name $version', ({ name, program, home }) => {
  let stage: Stage;
  let model: ModelServer;
  beforeAll(async () => {
    model = await openModelServer({});
    stage = openStage({ config: { agents: {} } });
    const env = home(stage.agentHome, model.port, realpathSync(stage.repository));
    for (const [path, text] of Object.entries(settings[name] ?? {})) {
      mkdirSync(dirname(join(stage.agentHome, path)), { recursive: true });
      writeFileSync(join(stage.agentHome, path), text);
    }
    mkdirSync(stage.home.personas, { recursive: true });
    writeFileSync(join(stage.home.personas, 'strict.md'), strict);
    writeFileSync(stage.home.config, JSON.stringify({ port: 0, agents: { [name]: { command: [program], env } } }));
    await stage.up();
  });
  afterAll(async () => {
    await stage.close();
    await model.close();
  });

  test('[P2] what is denied does not run and is not asked about, or it is said that it can not be kept; settings stay', async () => {
    const before = filesOf(stage.agentHome);
    const seed = name === 'codex' ? readFileSync(join(stage.agentHome, '.codex/config.toml'), 'utf8') : '';
    const steps = JSON.stringify([
      { text: 'First.', shell: 'touch denied.txt' },
      { text: 'Then.', shell: 'echo ok > ok.txt' },
      { text: 'All done.' },
    ]);
    const { job } = await stage.client().call('submitJob', {
      body: { text: `Keep the rules. SCRIPT:${steps}`, projectPath: stage.repository, agent: name, persona: 'strict' },
    });
    // Qwen Code needs more than one patience of the stage on a busy machine.
    const end = await stage.ended(job.id).catch(() => stage.ended(job.id));
    const session = await stage.session(String(end.sessionId));
    const unkept = session.unkeptRules.map(({ rule }) => rule);
    const files = end.outcome?.kind === 'done' ? end.outcome.files : [end.outcome?.kind];
    expect({ unkept, files }).toEqual(
      name === 'codex'
        ? { unkept: ['deny shell "touch *"'], files: ['denied.txt', 'ok.txt'] }
        : { unkept: [], files: ['ok.txt'] },
    );
    const { changes } = await stage.client().call('whySession', { params: { id: session.id } });
    expect(changes.map(({ to }) => to)).not.toContain('permission');

    const after = filesOf(stage.agentHome);
    const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
      (path) => before[path] !== after[path],
    );
    expect(changed.filter((path) => ownWrites[name]?.test(path) !== true)).toEqual([]);
    if (name === 'codex') {
      // It adds to its settings which tips it has shown; nothing of what stood there changes, and nothing of ours comes in.
      const config = readFileSync(join(stage.agentHome, '.codex/config.toml'), 'utf8');
      expect(seed.split('\n').filter((line) => !config.split('\n').includes(line))).toEqual([]);
      expect(config).not.toContain(stage.home.dir);
    }
  }, 120_000);
});
