/** The face of policy: pure decisions. */
export {
  type Admission,
  type AdmissionLimits,
  type AdmissionSession,
  admit,
  expectedBytes,
  type MemoryFacts,
  type Retire,
  relieve,
  type Shortage,
} from './admission.ts';
