/** One question of the doctor's, and the rule that a question which can't be answered is `unknown`, never `ok`. */
import { messageOf } from '../base/fault.ts';
import { within } from '../base/wait.ts';
import type { CheckResult } from '../protocol/api.ts';

export interface Check {
  readonly id: string;
  readonly what: string;
  readonly expected: string;
  readonly run: () => Promise<Finding | readonly Finding[]>;
}

export interface Finding {
  readonly verdict: CheckResult['verdict'];
  readonly found: string;
  readonly remedy?: string;
  /** Where one check looks at several things: this one's. */
  readonly what?: string;
}

export const fine = (found: string): Finding => ({ verdict: 'ok', found });
export const warning = (found: string, remedy: string): Finding => ({ verdict: 'warn', found, remedy });
export const failure = (found: string, remedy: string): Finding => ({ verdict: 'fail', found, remedy });

/** An agent's `--version` may take seconds on a cold disk; a check that takes longer has no answer. */
const checkLimitMs = 15_000;

export async function runCheck({ id, what, expected, run }: Check): Promise<readonly CheckResult[]> {
  const findings = await within(run(), checkLimitMs).catch(
    (error: unknown): Finding => ({ verdict: 'unknown', found: `could not be asked: ${messageOf(error)}` }),
  );
  const all = findings === undefined ? [tooLate] : 'verdict' in findings ? [findings] : findings;
  return all.map((finding) => ({
    id,
    what: finding.what ?? what,
    verdict: finding.verdict,
    expected,
    found: finding.found,
    remedy: finding.remedy ?? null,
  }));
}

const tooLate: Finding = { verdict: 'unknown', found: `no answer within ${checkLimitMs / 1000} s` };
