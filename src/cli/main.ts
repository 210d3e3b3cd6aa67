/** The command line: `webmoe run | serve | logits | inspect | bench | trace record | trace replay`. Exit 0, or 2 with one line on stderr for bad input. */
import { InvalidRequest, WebmoeError } from '../errors.ts';
import { readOptions, usage, type OptionSpec, type Options } from './args.ts';
import { BENCH_OPTIONS, benchCommand } from './bench.ts';
import type { Output } from './common.ts';
import { INSPECT_OPTIONS, inspectCommand } from './inspect.ts';
import { LOGITS_OPTIONS, logitsCommand } from './logits.ts';
import { PACK_OPTIONS, packCommand } from './pack.ts';
import { QUALITY_OPTIONS, qualityCommand } from './quality.ts';
import { RUN_OPTIONS, runCommand } from './run.ts';
import { SERVE_OPTIONS, serveCommand } from './serve.ts';
import { TRACE_RECORD_OPTIONS, traceRecordCommand } from './trace-record.ts';
import { TRACE_REPLAY_OPTIONS, traceReplayCommand } from './trace-replay.ts';

interface Command {
  readonly about: string;
  /** What it takes beside options; one that ends in ... may come many times. */
  readonly argument: string;
  readonly options: Readonly<Record<string, OptionSpec>>;
  run(options: Options, out: Output): Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  run: { about: 'chat, or answer one prompt', argument: '', options: RUN_OPTIONS, run: runCommand },
  serve: { about: 'an OpenAI-compatible server', argument: '', options: SERVE_OPTIONS, run: serveCommand },
  logits: {
    about: 'score token ids into a safetensors file',
    argument: '',
    options: LOGITS_OPTIONS,
    run: logitsCommand,
  },
  inspect: {
    about: 'what a model is and whether it fits',
    argument: 'DIR|URL|ID',
    options: INSPECT_OPTIONS,
    run: inspectCommand,
  },
  pack: {
    about: 'make the records of a model ahead of time',
    argument: 'DIR|URL|ID',
    options: PACK_OPTIONS,
    run: packCommand,
  },
  bench: {
    about: 'speed and cost, of one model or a sweep; what known GPUs could do',
    argument: '',
    options: BENCH_OPTIONS,
    run: benchCommand,
  },
  quality: {
    about: 'perplexity and divergence of two settings on a text',
    argument: '',
    options: QUALITY_OPTIONS,
    run: qualityCommand,
  },
  'trace record': {
    about: 'chat through a list of prompts and write the routing',
    argument: '',
    options: TRACE_RECORD_OPTIONS,
    run: traceRecordCommand,
  },
  'trace replay': {
    about: 'hit rates of cache policies on recorded routing, of webmoe, vLLM, llama.cpp or BigMoeOnEdge',
    argument: 'FILE...',
    options: TRACE_REPLAY_OPTIONS,
    run: traceReplayCommand,
  },
};

/** Commands of two words take two arguments. */
function split(argv: readonly string[]): { name: string | undefined; rest: readonly string[] } {
  const pair = argv.slice(0, 2).join(' ');
  return Object.hasOwn(COMMANDS, pair) ? { name: pair, rest: argv.slice(2) } : { name: argv[0], rest: argv.slice(1) };
}

const positionals = ({ argument }: Command): number => (argument.endsWith('...') ? Infinity : argument ? 1 : 0);

const help = (): string =>
  [
    'usage: webmoe COMMAND [options]',
    '',
    ...Object.entries(COMMANDS).map(([name, c]) => `  ${name.padEnd(14)}${c.about}`),
    '',
    'webmoe COMMAND --help says more.',
    '',
  ].join('\n');

const terminal: Output = {
  write: (text) => void process.stdout.write(text),
  note: (text) => void process.stderr.write(text),
  isTerminal: Boolean(process.stderr.isTTY),
};

/** @returns the exit code: 0, 2 for bad input or an unusable model, 1 for anything unexpected */
export async function main(argv: readonly string[], out: Output = terminal): Promise<number> {
  const { name, rest } = split(argv);
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    if (name === undefined || name === '--help' || name === '-h') {
      out.write(help());
      return name === undefined ? 2 : 0;
    }
    out.note(`webmoe: unknown command ${name}; try webmoe --help\n`);
    return 2;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    out.write(`${usage(name!, command.argument, command.options)}\n`);
    return 0;
  }
  try {
    await command.run(readOptions(rest, command.options, positionals(command)), out);
    return 0;
  } catch (error) {
    if (out.isTerminal) out.note('\r\x1b[K');
    if (error instanceof WebmoeError) {
      out.note(
        `webmoe: ${error.message.replaceAll('\n', ' ')}${error instanceof InvalidRequest ? `; try webmoe ${name} --help` : ''}\n`,
      );
      return 2;
    }
    out.note(`webmoe: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}
