import { spawnSync } from 'node:child_process';

export default function setup(): void {
  const made = spawnSync(process.execPath, ['scripts/wgsl.mjs'], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error('scripts/wgsl.mjs failed');
}
