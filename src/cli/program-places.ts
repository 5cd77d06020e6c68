/** Commands about personas, the projects that bring some, and worktrees. */
import type { Command } from 'commander';
import { action, argument, type Frame, jsonOption, withExamples } from './command.ts';

const projectOption = ['--project <path>', 'a folder inside the repository (default: the current folder)'] as const;

export function addPlaceCommands(program: Command, frame: Frame): void {
  addPersonaCommands(program, frame);
  addProjectCommands(program, frame);
  addWorktreeCommands(program, frame);
}

function addPersonaCommands(program: Command, frame: Frame): void {
  const persona = program.command('persona').description('list, show, edit, check');
  const list = persona
    .command('list')
    .description('every persona, where it comes from, and what hides it')
    .option(...projectOption)
    .option(...jsonOption);
  action(list, frame, async ({ cli, options }) => (await import('./persona.ts')).listPersonas(cli, options));
  const show = persona
    .command('show')
    .description('a persona with everything that it extends, and the rules that an agent can not keep')
    .argument('<name>', 'like dev')
    .option(...projectOption)
    .option(...jsonOption);
  action(show, frame, async (call) =>
    (await import('./persona.ts')).showPersona(call.cli, argument(call, 0), call.options),
  );
  const edit = persona
    .command('edit')
    .description('write a persona of the home in $VISUAL or $EDITOR; nothing invalid is written')
    .argument('<name>', 'a new one, or one to change')
    .option(...jsonOption);
  action(edit, frame, async (call) => (await import('./persona-edit.ts')).editPersona(call.cli, argument(call, 0)));
  const check = persona
    .command('check')
    .description('is it valid? of one persona, of a file, or of all')
    .argument('[name or file]', 'a name, or a path that ends in .md')
    .option(...projectOption)
    .option(...jsonOption);
  action(check, frame, async (call) =>
    (await import('./persona.ts')).checkPersonas(call.cli, argument(call, 0), call.options),
  );
  withExamples(persona, [
    'muster persona list',
    'muster persona edit reviewer',
    'muster persona check drafts/reviewer.md',
  ]);
}

function addProjectCommands(program: Command, frame: Frame): void {
  const project = program.command('project').description('list, trust, distrust: the personas that repositories bring');
  const list = project
    .command('list')
    .description('projects whose personas you have trusted')
    .option(...jsonOption);
  action(list, frame, async ({ cli }) => (await import('./project.ts')).listProjects(cli));
  const trust = project
    .command('trust')
    .description('show what its personas may do, and use them after a yes, as they are now')
    .argument('[path]', 'a folder inside the repository (default: the current folder)')
    .option('--yes', 'without a question; for what you have read')
    .option(...jsonOption);
  action(trust, frame, async (call) =>
    (await import('./project.ts')).trustProject(call.cli, argument(call, 0), call.options),
  );
  const distrust = project
    .command('distrust')
    .description('use them no more')
    .argument('[path]', 'a folder inside the repository (default: the current folder)')
    .option(...jsonOption);
  action(distrust, frame, async (call) => (await import('./project.ts')).distrustProject(call.cli, argument(call, 0)));
  withExamples(project, ['muster project trust ~/src/tool', 'muster project list']);
}

function addWorktreeCommands(program: Command, frame: Frame): void {
  const worktree = program.command('worktree').description('list, show, remove, prune');
  const list = worktree
    .command('list')
    .description('the folders that attempts worked in, oldest first')
    .option(...jsonOption);
  action(list, frame, async ({ cli }) => (await import('./worktree.ts')).listWorktrees(cli));
  const show = worktree
    .command('show')
    .description('what is in one, and what would become of it')
    .argument('<id>', 'the attempt, like j12.1, or the job')
    .option(...jsonOption);
  action(show, frame, async (call) => (await import('./worktree.ts')).showWorktree(call.cli, argument(call, 0)));
  const remove = worktree
    .command('remove')
    .description('remove one; what stands nowhere else is saved to a ref first')
    .argument('<id>', 'the attempt, like j12.1, or the job')
    .option('--dry-run', 'only say what would happen')
    .option('--discard-nested', 'repositories inside it (submodules, clones) may go unsaved')
    .option(...jsonOption);
  action(remove, frame, async (call) =>
    (await import('./worktree.ts')).removeWorktree(call.cli, argument(call, 0), call.options),
  );
  const prune = worktree
    .command('prune')
    .description('what the janitor does every day: remove what is older or takes more space than configured')
    .option('--dry-run', 'only say what would happen')
    .option(...jsonOption);
  action(prune, frame, async ({ cli, options }) => (await import('./worktree.ts')).pruneWorktrees(cli, options));
  withExamples(worktree, ['muster worktree list', 'muster worktree remove j12.1 --dry-run', 'muster worktree prune']);
}
