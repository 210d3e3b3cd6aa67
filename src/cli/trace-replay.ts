import type { OptionSpec, Options } from './args.ts';
import type { Output } from './common.ts';
export const TRACE_REPLAY_OPTIONS: Readonly<Record<string, OptionSpec>> = {};
export async function traceReplayCommand(options: Options, out: Output): Promise<void> {
  void options;
  void out;
}
