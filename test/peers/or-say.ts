/** For `describe.runIf` and `test.runIf`: whether it can run here; where it can't, the reason is printed. Inside a test, `skip` says it. */
export function orSay(can: boolean, reason: string): boolean {
  if (!can) console.log(`skipped: ${reason}`);
  return can;
}
