import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** The everyday subset: no browser, no long sweeps. */
const fast = Boolean(process.env.WEBMOE_FAST);

/** One more than there are cores: some files wait more than they compute. */
const BESIDE = { maxWorkers: availableParallelism() + 1, sequence: { groupOrder: 0 } };
/** Chromium's tests measure times, so they have the machine to themselves, when all others have run. */
const ALONE = { maxWorkers: 1, sequence: { groupOrder: 1 } };

// Three test projects: `unit` needs no GPU, `gpu` runs on Dawn in Node, `browser` drives Chromium.
const project = (name: string, include: string[], timeout: number, workers: typeof BESIDE, isolate = true) => ({
  extends: true as const,
  test: {
    ...workers,
    isolate,
    name,
    include,
    exclude: fast ? ['**/*.long.test.ts'] : [],
    testTimeout: timeout,
    hookTimeout: timeout,
  },
});

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    projects: [
      project('unit', ['test/{unit,house}/**/*.test.ts'], 60_000, BESIDE),
      project('gpu', ['test/{kernels,stages,model,cli}/**/*.test.ts'], 300_000, BESIDE, false),
      ...(fast ? [] : [project('browser', ['test/browser/**/*.test.ts'], 900_000, ALONE)]),
    ],
  },
});
