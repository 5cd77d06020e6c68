import { randomBytes } from 'node:crypto';

/** Ids are branded, so that a session's id can't pass for a job's. */
export type JobId = string & { readonly brand: 'job' };
export type AttemptId = string & { readonly brand: 'attempt' };
export type SessionId = string & { readonly brand: 'session' };
export type ProjectId = string & { readonly brand: 'project' };

/** Crockford's base 32 in lower case: no i, l, o, u, so that an id can be read out loud. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** `length` random characters of 5 bits each. */
export function randomToken(length: number): string {
  return Array.from(randomBytes(length), (byte) => alphabet[byte & 31]).join('');
}

/** `s-` and 10 characters (50 bits): unique over the life of one installation, short enough to type. */
export const newSessionId = (): SessionId => `s-${randomToken(10)}` as SessionId;

/** `j1`, `j2`, ...: the ledger counts them. */
export const jobId = (number: number): JobId => `j${number}` as JobId;

/** `j12.3`: third attempt at job 12. The number after the dot is the fencing number. */
export const attemptId = (job: JobId, fence: number): AttemptId => `${job}.${fence}` as AttemptId;
