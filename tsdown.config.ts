import { defineConfig, type UserConfig } from 'tsdown';

const shared: UserConfig = {
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  deps: { neverBundle: [/^node:/, 'webgpu'] },
};

export default defineConfig([
  {
    ...shared,
    entry: {
      index: 'src/index.ts',
      node: 'src/node.ts',
      'ai-sdk': 'src/ai-sdk/index.ts',
      testing: 'src/testing.ts',
      cli: 'src/cli/main.ts',
    },
    dts: { sourcemap: false },
    clean: true,
    plugins: [
      {
        // Vite resolves the worker's source; beside the built files lies its build.
        name: 'built-worker',
        transform: (code, id) =>
          id.endsWith('start-worker.ts') ? code.replace('./opfs-worker.ts', './opfs-worker.js') : null,
      },
    ],
  },
  {
    ...shared,
    // A build of its own, so that the file imports nothing: then it works in every bundler, as a module and as a classic script.
    entry: { 'opfs-worker': 'src/weights/records/opfs-worker.ts' },
    dts: false,
    clean: false,
  },
]);
