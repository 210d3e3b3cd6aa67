import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** The everyday subset: no browser, no long sweeps. */
const fast = Boolean(process.env.WEBMOE_FAST);

// Three test projects: `unit` needs no GPU, `gpu` runs on Dawn in Node, `browser` drives Chromium.
const project = (name: string, include: string[], timeout: number) => ({
  extends: true as const,
  test: { name, include, exclude: fast ? ['**/*.long.test.ts'] : [], testTimeout: timeout, hookTimeout: timeout },
});

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // On two cores vitest would leave one idle. The full run measures times and keeps to its default.
    ...(fast ? { maxWorkers: Math.max(2, availableParallelism() - 1) } : {}),
    projects: [
      project('unit', ['test/{unit,house}/**/*.test.ts'], 60_000),
      project('gpu', ['test/{kernels,stages,model,cli}/**/*.test.ts'], 300_000),
      ...(fast ? [] : [project('browser', ['test/browser/**/*.test.ts'], 900_000)]),
    ],
  },
});
