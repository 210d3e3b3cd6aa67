import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder for what test files build for each other; gone after the run. */
    readonly builds: string;
  }
}

export default function setup(project: TestProject): () => void {
  const made = spawnSync(process.execPath, ['scripts/wgsl.mjs'], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error('scripts/wgsl.mjs failed');
  const builds = mkdtempSync(join(tmpdir(), 'webmoe-builds-'));
  project.provide('builds', builds);
  return () => rmSync(builds, { recursive: true, force: true });
}
