/** Code of this repository in a Node process of its own, which a test may kill. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'vite';

/** @param entry path of a TypeScript module. @returns path of one that Node runs */
export async function bundle(entry: string, dir: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, minify: false, target: 'node20', ssr: entry },
  });
  const [{ output }] = (Array.isArray(result) ? result : [result]) as unknown as [{ output: { code: string }[] }];
  const path = join(dir, 'child.mjs');
  await writeFile(path, output[0]!.code);
  return path;
}

export interface Child {
  readonly process: ChildProcess;
  /** Lines of its output so far. */
  readonly lines: string[];
  /** Resolves with the exit code, null after a signal. */
  readonly ended: Promise<number | null>;
}

export function start(script: string, args: readonly string[]): Child {
  const process_ = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let rest = '';
  process_.stdout.on('data', (data: Buffer) => {
    const all = (rest + data.toString()).split('\n');
    rest = all.pop()!;
    lines.push(...all);
  });
  const ended = new Promise<number | null>((resolve) => process_.on('close', resolve));
  return { process: process_, lines, ended };
}
