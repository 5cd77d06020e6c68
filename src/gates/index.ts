/** The face of the gates: points where work waits for a yes. */
export {
  cleanEnvironment,
  sweepCheckouts,
  type VerifyOptions,
  type VerifyResult,
  verifyInCleanCheckout,
} from './verify.ts';
