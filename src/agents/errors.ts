/** Names the kind of a failed turn from what the agents say: their own error words, an HTTP status, and the text as the last resort. */

import { oneLine } from '../base/text.ts';
import type { TurnError } from '../protocol/state.ts';

type ErrorKind = TurnError['kind'];

const kindsByWord: Readonly<Record<string, ErrorKind>> = {
  rate_limit: 'rate-limit',
  rate_limit_error: 'rate-limit',
  overloaded: 'overloaded',
  overloaded_error: 'overloaded',
  server_error: 'server',
  api_error: 'server',
  authentication_failed: 'authentication',
  authentication_error: 'authentication',
  oauth_org_not_allowed: 'authentication',
  billing_error: 'usage-limit',
  insufficient_quota: 'usage-limit',
  usage_limit_exceeded: 'usage-limit',
  usage_limit_reached: 'usage-limit',
  invalid_request: 'invalid-request',
  invalid_request_error: 'invalid-request',
  bad_request: 'invalid-request',
  context_window_exceeded: 'context-full',
  context_length_exceeded: 'context-full',
  cyber_policy: 'policy-refusal',
  unauthorized: 'authentication',
  server_overloaded: 'overloaded',
  internal_server_error: 'server',
};

const kindsByText: readonly (readonly [RegExp, ErrorKind])[] = [
  [/context (length|window)|prompt is too long|maximum context/i, 'context-full'],
  [/usage limit|session limit|weekly limit|exceeded your current quota|quota exceeded|credit balance/i, 'usage-limit'],
  [/usage polic|violat\w+ .{0,40}polic/i, 'policy-refusal'],
  [/overloaded/i, 'overloaded'],
  [/rate.?limit|too many requests/i, 'rate-limit'],
  [/unauthori[sz]ed|authenticat|invalid (x-)?api.?key|please run \/login/i, 'authentication'],
  [/ECONN|ENOTFOUND|ETIMEDOUT|network|socket|connection|disconnected|fetch failed/i, 'network'],
];

export function kindOfStatus(http: number | undefined): ErrorKind | undefined {
  if (http === undefined) return undefined;
  if (http === 429) return 'rate-limit';
  if (http === 529 || http === 503) return 'overloaded';
  if (http === 401 || http === 403) return 'authentication';
  if (http === 400 || http === 404 || http === 422) return 'invalid-request';
  return http >= 500 ? 'server' : undefined;
}

/** A status of a failed HTTP request as the agents write it: `(429)`, `API Error: 529 …`, `status 503`, `429 Too Many Requests`. */
export function statusIn(text: string): number | undefined {
  const found =
    /(?:\(|API Error:? (?:\()?|status(?: code)?[: ]+|HTTP(?: error)?[: ]+|error[: ]+)([45]\d\d)\b/i.exec(text) ??
    /(?:^|[\s:])([45]\d\d) [A-Z]/.exec(text);
  return found?.[1] === undefined ? undefined : Number(found[1]);
}

/** `word` is the agent's own name for the error, `text` what it shows. */
export function turnError(
  word: string | undefined,
  text: string,
  http: number | undefined = statusIn(text),
): TurnError {
  const byText = kindsByText.find(([pattern]) => pattern.test(text))?.[1];
  const sharper =
    byText === 'context-full' || byText === 'usage-limit' || byText === 'policy-refusal' ? byText : undefined;
  const named =
    kindsByWord[word ?? ''] ?? kindsByWord[Object.keys(kindsByWord).find((each) => text.includes(`"${each}"`)) ?? ''];
  const byStatus = named === 'server' ? kindOfStatus(http) : undefined;
  const kind = sharper ?? byStatus ?? named ?? kindOfStatus(http) ?? byText ?? 'other';
  return { kind, message: oneLine(text, 500), ...(http === undefined ? {} : { http }) };
}

/**
 * A plan's limit that ends at a known time stops the whole account and lifts by itself; a rate limit does not. Claude: "You've hit
 * your session limit · resets 3pm"; Codex: "You've hit your usage limit. ... try again at 4:05 PM".
 */
export const isPlanLimit = (text: string): boolean =>
  /\b(usage|session|weekly|5-hour|five-hour|opus|sonnet|daily) limit\b/i.test(text) && !/rate.?limit/i.test(text);
