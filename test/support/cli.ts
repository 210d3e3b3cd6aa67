/** The command line, run in this process or as a program of its own. */
import { spawn } from 'node:child_process';
import { main } from '../../src/cli/main.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** @param isTerminal whether stderr is one: progress shows there */
export async function cli(argv: readonly string[], isTerminal = false): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await main(argv, { write: (t) => (out += t), note: (t) => (err += t), isTerminal });
  return { code, out, err };
}

/** @param input what is piped into it; `onOutput` sees stdout as it comes, and may send a signal */
export function program(
  command: string,
  argv: readonly string[],
  {
    input = '',
    onOutput,
    cwd,
  }: { input?: string; onOutput?: (kill: (signal: NodeJS.Signals) => void) => void; cwd?: string } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'pipe'], ...(cwd ? { cwd } : {}) });
    let out = '';
    let err = '';
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
      onOutput?.((signal) => child.kill(signal));
    });
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
    child.stdin.end(input);
  });
}
