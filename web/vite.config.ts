import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Inlined assets would need `data:` in the content security policy; the policy is `default-src 'self'`, so everything stays a file. */
const inlineBytesMax = 0;

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: inlineBytesMax,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
    reportCompressedSize: false,
  },
});
