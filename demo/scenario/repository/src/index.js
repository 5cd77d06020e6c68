export { format, split } from './money.js';
