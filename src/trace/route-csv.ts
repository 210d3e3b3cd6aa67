/**
 * Reads the route traces of BigMoeOnEdge (`# route_trace v1`): a row for each chosen expert,
 * turn,phase,step,layer,slot,expert,weight,residency,expert_bytes, under a header with the model's facts.
 * All tokens of a prompt are one step. Its last layer may have run for the prompt's last token only.
 */
import { InvalidTrace } from '../errors.ts';
import { checkTrace } from './check-trace.ts';
import { roomForIds } from './room.ts';
import { ABSENT, ORIGINS, type Trace, type TraceModel, type TraceStep } from './trace.ts';

interface Row {
  readonly turn: number;
  readonly phase: number; // 0 prefill, 1 decode
  readonly step: number; // token within the phase
  readonly layer: number;
  readonly rank: number;
  readonly expert: number;
  readonly weight: number;
  readonly origin: number;
}

const fail = (file: string, what: string): never => {
  throw new InvalidTrace(`${file}: ${what}`, { file });
};

/** @throws InvalidTrace for anything that is no route trace of version 1, or not whole */
export function readRouteCsv(text: string, file = 'trace'): Trace {
  const lines = text.split(/\r?\n/);
  if (lines[0] !== '# route_trace v1') fail(file, 'is no route trace of version 1');
  const model = readModel(lines, file);
  const rows = lines.flatMap((line, n) =>
    line === '' || line.startsWith('#') || line.startsWith('turn,') ? [] : [readRow(line, `${file}:${n + 1}`)],
  );
  const { steps, tokenOf } = readSteps(rows);
  const { layers, topK } = model;
  const ids = roomForIds(tokenOf.size, layers, topK, file);
  const weights = new Float32Array(ids.length);
  const origins = new Uint8Array(ids.length);
  for (const row of rows) {
    if (row.layer >= layers || row.rank >= topK)
      fail(file, `layer ${row.layer}, slot ${row.rank} is outside the model`);
    const at = (tokenOf.get(keyOf(row))! * layers + row.layer) * topK + row.rank;
    if (ids[at] !== ABSENT) fail(file, `layer ${row.layer}, slot ${row.rank} of step ${row.step} is there twice`);
    ids[at] = row.expert;
    weights[at] = row.weight;
    origins[at] = row.origin;
  }
  return checkTrace({ model, steps, ids, weights, origins }, file);
}

function readModel(lines: readonly string[], file: string): TraceModel {
  const header = lines.filter((l) => l.startsWith('#'));
  const fact = (name: string): string =>
    new RegExp(`\\b${name}=(\\S+)`).exec(header.join('\n'))?.[1] ?? fail(file, `its header has no ${name}`);
  const bytes = header.flatMap((l) => {
    const found = /layer=(\d+) expert_bytes=(\d+)/.exec(l);
    return found ? [[Number(found[1]), Number(found[2])] as const] : [];
  });
  if (bytes.some(([layer], n) => layer !== n)) fail(file, 'its layers are not all MoE layers in order');
  return {
    name: fact('model').replace(/\.gguf$/, ''),
    layers: bytes.length,
    experts: Number(fact('n_expert')),
    topK: Number(fact('n_expert_used')),
    expertBytes: bytes.map(([, size]) => size),
  };
}

function readRow(line: string, where: string): Row {
  const fields = line.split(',');
  const numbers = fields.map(Number);
  const isRow = fields.length === 9 && fields.every((f) => f !== '') && numbers.every((n) => n >= 0 && n < Infinity);
  if (!isRow || [0, 1, 2, 3, 4, 5, 7].some((n) => !Number.isInteger(numbers[n])) || numbers[1]! > 1)
    fail(where, `is no row of a route trace: ${line.slice(0, 80)}`);
  const [turn, phase, step, layer, rank, expert, weight, residency] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { turn, phase, step, layer, rank, expert, weight, origin: ORIGINS.indexOf(residency ? 'slot' : 'disk') };
}

const keyOf = ({ turn, phase, step }: Row): number => (turn * 2 + phase) * 2 ** 24 + step;

/** Tokens in the order of the run, and the steps that they make up. */
function readSteps(rows: readonly Row[]): { steps: TraceStep[]; tokenOf: Map<number, number> } {
  const keys = [...new Set(rows.map(keyOf))].sort((a, b) => a - b);
  const tokenOf = new Map(keys.map((key, n) => [key, n]));
  const steps: TraceStep[] = [];
  let position = 0;
  let current = -1;
  for (const key of keys) {
    const phaseKey = Math.floor(key / 2 ** 24);
    const last = steps.at(-1);
    if (phaseKey % 2 === 0 && phaseKey === current) steps[steps.length - 1] = { ...last!, tokens: last!.tokens + 1 };
    else steps.push({ phase: phaseKey % 2 ? 'decode' : 'prefill', chat: 0, position, tokens: 1 });
    position++;
    current = phaseKey;
  }
  return { steps, tokenOf };
}
