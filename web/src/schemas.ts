/** Imported before any schema is made: compiled schemas need `eval`, which the page's policy forbids, and even trying is reported. */
import { config } from 'zod';

config({ jitless: true });
