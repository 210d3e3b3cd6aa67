import { defineConfig } from 'vitest/config';

// Three test projects: `unit` needs no GPU, `gpu` runs on Dawn in Node, `browser` drives Chromium.
const project = (name: string, include: string[], timeout: number) => ({
  extends: true as const,
  test: { name, include, testTimeout: timeout, hookTimeout: timeout },
});

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    projects: [
      project('unit', ['test/{unit,house}/**/*.test.ts'], 60_000),
      project('gpu', ['test/{kernels,stages,model,cli}/**/*.test.ts'], 300_000),
      project('browser', ['test/browser/**/*.test.ts'], 900_000),
    ],
  },
});
