/**
 * Who may speak to the daemon. A program shows the token of the home; a browser exchanges a single-use code for a cookie, once.
 * Host and Origin are checked before anything else: a page of another site, or a name that resolves to this machine, gets nothing.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';

const cookieName = 'muster';
/** A code is printed in a terminal and clicked at once or within the time one looks at it again. */
const codeLifeMs = 10 * 60_000;
/** A month; `muster open` gives a new one. Browsers send a cookie to every port of a host, so it does not live for ever. */
const cookieSeconds = 30 * 24 * 3600;
/** More open codes than this are somebody's loop; the oldest are dropped. */
const codesMax = 50;

export interface Auth {
  /** Throws FORBIDDEN_ORIGIN or UNAUTHORIZED. */
  readonly check: (headers: IncomingHttpHeaders) => void;
  /** Throws FORBIDDEN_ORIGIN: for what may be fetched without a token. */
  readonly checkOrigin: (headers: IncomingHttpHeaders) => void;
  readonly issueCode: () => { code: string; expiresAt: number };
  /** The value of `Set-Cookie`, or undefined if the code is unknown, used or too old. */
  readonly redeemCode: (code: string) => string | undefined;
}

export function openAuth(options: { token: string; port: () => number; clock: Clock }): Auth {
  const codes = new Map<string, number>();
  const cookie = createHmac('sha256', options.token).update('muster browser cookie 1').digest('base64url');

  const checkOrigin = (headers: IncomingHttpHeaders): void => {
    const names = ['127.0.0.1', 'localhost', '[::1]'].map((name) => `${name}:${options.port()}`);
    if (!names.includes(headers.host ?? ''))
      throw new Fault('FORBIDDEN_ORIGIN', `Host "${headers.host ?? ''}" is not this daemon`, { subject: 'Host' });
    const { origin } = headers;
    if (origin !== undefined && !names.some((name) => origin === `http://${name}`)) {
      throw new Fault('FORBIDDEN_ORIGIN', `Origin "${origin}" is not this daemon's page`, { subject: 'Origin' });
    }
  };

  return {
    checkOrigin,
    check: (headers) => {
      checkOrigin(headers);
      const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
      if (bearer !== undefined && same(bearer, options.token)) return;
      const shown = cookieValue(headers.cookie ?? '');
      if (shown !== undefined && same(shown, cookie)) return;
      throw new Fault('UNAUTHORIZED', 'This needs the token of the home, or a login from its link', {
        hint: 'Run `muster open` for a fresh link to the page.',
      });
    },
    issueCode: () => {
      const code = randomBytes(18).toString('base64url');
      const expiresAt = options.clock() + codeLifeMs;
      codes.set(code, expiresAt);
      for (const old of [...codes.keys()].slice(0, Math.max(0, codes.size - codesMax))) codes.delete(old);
      return { code, expiresAt };
    },
    redeemCode: (code) => {
      const expiresAt = codes.get(code);
      codes.delete(code);
      if (expiresAt === undefined || expiresAt < options.clock()) return undefined;
      return `${cookieName}=${cookie}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${cookieSeconds}`;
    },
  };
}

const cookieValue = (header: string): string | undefined =>
  header
    .split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${cookieName}=`))
    ?.slice(cookieName.length + 1);

function same(shown: string, right: string): boolean {
  const a = Buffer.from(shown);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
}
