/** Shares an amount of cents among so many people, as evenly as whole cents allow; the first ones get the cents that are left over. */
export function split(cents, people) {
  if (!Number.isInteger(people) || people < 1) throw new RangeError(`people must be a whole number above 0, not ${people}`);
  const share = Math.floor(cents / people);
  return Array.from({ length: people }, () => share);
}

/** 1234 becomes '12.34'. */
export function format(cents) {
  const sign = cents < 0 ? '-' : '';
  const digits = String(Math.abs(cents)).padStart(3, '0');
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
