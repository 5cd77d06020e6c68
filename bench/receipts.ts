/**
 * A thousand prompts to scripted agents: every hazard of a text (several lines, a leading `-`, `!`, `#` or `/`, 100 KB, controls, the end
 * of a paste inside, Hangul), while busy, at a question, at a permission, over a draft, several at once, and the life of the control
 * plane killed with -9 in between. Prints the account; ends with 1 if a prompt was lost, typed twice, changed, or typed where it must not.
 *
 *   node bench/receipts.ts [--prompts 1000] [--kills 3] [--sessions 8] [--seed N]
 */
import { parseArgs } from 'node:util';
import { openFleet, sendMany } from '../test/peers/receipts.ts';

const { values } = parseArgs({
  options: {
    prompts: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '3' },
    sessions: { type: 'string', default: '8' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
  },
});

const fleet = await openFleet(Number(values.sessions));
const began = Date.now();
try {
  const account = await sendMany(fleet, {
    count: Number(values.prompts),
    kills: Number(values.kills),
    seed: Number(values.seed),
  });
  const { prompts, accepted, refused, unknown, ...wrong } = account;
  const times = fleet.inputs.length / ((Date.now() - began) / 1000);
  console.log(
    `${prompts} prompts, ${values.kills} kills, seed ${values.seed}: ${accepted} accepted, ${refused} refused, ${unknown} unknown`,
  );
  console.log(`${times.toFixed(1)} prompts a second over ${values.sessions} sessions`);
  for (const [what, list] of Object.entries(wrong))
    console.log(`${what}: ${list.length} (goal 0)`, ...list.slice(0, 5));
  for (const one of fleet.inputs.filter(({ receipt }) => receipt?.kind === 'unknown').slice(0, 10))
    console.log(`unknown ${one.inputId} ${JSON.stringify(one.text.slice(0, 40))}: ${JSON.stringify(one.receipt)}`);
  process.exitCode = Object.values(wrong).some((list) => list.length > 0) ? 1 : 0;
} finally {
  await fleet.close();
}
