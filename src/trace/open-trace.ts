/** A trace of any kind that webmoe reads, told apart by its contents: a name is no proof. */
import { InvalidTrace } from '../errors.ts';
import { checkTrace } from './check-trace.ts';
import { decodeJson } from './npz-meta.ts';
import { readTrace } from './npz.ts';
import { decodeNpy, type NpyArray } from './npy.ts';
import { traceOf } from './of-run.ts';
import { readLlamaCsv } from './llama-csv.ts';
import { readRouteCsv } from './route-csv.ts';
import type { Provenance, Trace } from './trace.ts';
import { fromVllm, hasWeights } from './vllm.ts';
import { readZip } from './zip.ts';

/** What `openTrace` reads, for people. */
export const READABLE_TRACES: readonly string[] = [
  'a .npz that webmoe wrote',
  'a response of vLLM with routed_experts, as JSON',
  'arrays [tokens, layers, K] as .npy, or as routed_experts in a .npz',
  'a route.csv of BigMoeOnEdge',
  'a layer,expert CSV of llama.cpp’s moe-trace',
];

/** Of a text: larger ones would be copied several times. */
const LONGEST_TEXT = 2 ** 28;

const startsWith = (bytes: Uint8Array, magic: string): boolean =>
  bytes.length >= magic.length && [...magic].every((c, i) => bytes[i] === c.charCodeAt(0));

/**
 * @param bytes a whole file
 * @param name of the file, for messages, and for the model where the file names none
 * @throws InvalidTrace when it is of no such kind, or damaged
 */
export function openTrace(bytes: Uint8Array, name = 'trace'): Trace {
  if (startsWith(bytes, 'PK')) return openArchive(bytes, name);
  if (startsWith(bytes, '\x93NUMPY')) return ofArrays({ routed_experts: decodeNpy(bytes, name) }, name);
  const head = new TextDecoder().decode(bytes.subarray(0, 256)).trimStart();
  if (/^[{[]/.test(head)) return ofResponse(decodeJson(checkLength(bytes, name), name), name);
  if (head.startsWith('# route_trace'))
    return { ...readRouteCsv(textOf(bytes, name), name), provenance: from('a route trace of BigMoeOnEdge', name) };
  if (/^(?:layer,expert|\d+,\d+)\s/.test(head))
    return {
      ...readLlamaCsv(textOf(bytes, name), name),
      provenance: from('llama.cpp’s moe-trace; batches, K and E are deduced, most prompt tokens are unknown', name),
    };
  throw new InvalidTrace(`${name} is no trace. webmoe reads ${READABLE_TRACES.join('; ')}`, { file: name });
}

const from = (what: string, file: string): Provenance => ({ kind: 'recorded', note: `${what}, from ${file}` });

function checkLength(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length > LONGEST_TEXT)
    throw new InvalidTrace(`${name} is longer than ${LONGEST_TEXT} bytes`, { file: name, bytes: bytes.length });
  return bytes;
}

const textOf = (bytes: Uint8Array, name: string): string => new TextDecoder().decode(checkLength(bytes, name));

/** Ours, or arrays that somebody saved with `numpy.savez`. */
function openArchive(bytes: Uint8Array, name: string): Trace {
  const members = readZip(bytes, name);
  if (members.has('meta.npy')) return readTrace(bytes, name);
  const arrays: Record<string, NpyArray> = {};
  for (const [member, data] of members)
    if (/routed_experts|router_weights/.test(member) || members.size === 1)
      arrays[members.size === 1 ? 'routed_experts' : member.replace(/\.npy$/, '')] = decodeNpy(
        data,
        `${name}: ${member}`,
      );
  return ofArrays(arrays, name);
}

function ofArrays(arrays: Readonly<Record<string, NpyArray>>, name: string): Trace {
  const { routed_experts, router_weights, prompt_routed_experts, prompt_router_weights } = arrays;
  if (!routed_experts)
    throw new InvalidTrace(`${name} has neither meta nor routed_experts: webmoe reads ${READABLE_TRACES.join('; ')}`, {
      file: name,
    });
  const choices = [{ routed_experts, router_weights }];
  return ofResponse({ prompt_routed_experts, prompt_router_weights, choices }, name);
}

/** @param response an object of vLLM's, or its nested lists alone */
function ofResponse(response: unknown, name: string): Trace {
  const whole = Array.isArray(response) ? { choices: [{ routed_experts: response as unknown }] } : response;
  const run = fromVllm(whole);
  const { model } = whole as { readonly model?: unknown };
  const trace = traceOf(run, {
    name: typeof model === 'string' ? model : name.replace(/\.(json|npy|npz)$/i, ''),
    expertBytes: 1, // nobody says
  });
  const provenance = from('routed experts of vLLM; E is one more than the largest id', name);
  return checkTrace({ ...trace, weights: hasWeights(whole) ? trace.weights : null, provenance }, name);
}
