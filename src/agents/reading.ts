/** Reads outside JSON without trusting it: every getter gives `undefined` for what has another type, and text is bounded. */
import { clip, oneLine } from '../base/text.ts';

export type Fields = Readonly<Record<string, unknown>>;

export const fieldsOf = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const textOf = (value: unknown, max: number): string | undefined =>
  typeof value === 'string' && value !== '' ? clip(value, max) : undefined;

export const lineOf = (value: unknown, max: number): string | undefined => {
  const line = typeof value === 'string' ? oneLine(value, max) : '';
  return line === '' ? undefined : line;
};

export const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** Drops the keys whose value is undefined, as `exactOptionalPropertyTypes` wants it. */
export function present<T extends object>(value: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}

/** When a row of a conversation's file was written, by its own `timestamp`; rows of an earlier life of the conversation are old news. */
export function rowTime(row: Fields, observedAt: number): number {
  const told = typeof row.timestamp === 'string' ? Date.parse(row.timestamp) : Number.NaN;
  return Number.isFinite(told) ? Math.min(told, observedAt) : observedAt;
}
