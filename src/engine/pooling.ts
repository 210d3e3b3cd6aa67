/** Which hidden states an embedding model's vector is made of, as `1_Pooling/config.json` beside it says. */
import { ConfigReader, type Json } from '../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';

/** The mean of all tokens', or that of the first or the last. */
export type Pooling = 'mean' | 'first' | 'last';

export const POOLING_FILE = '1_Pooling/config.json';

/** By what releases call them: flags, or the value of `pooling_mode`. */
const MODES: ReadonlyMap<string, Pooling> = new Map([
  ['mean_tokens', 'mean'],
  ['mean', 'mean'],
  ['cls_token', 'first'],
  ['cls', 'first'],
  ['lasttoken', 'last'],
]);

/**
 * @param text of the file; null: there is none
 * @returns undefined where nothing is said
 * @throws InvalidCheckpoint where it is no object; UnsupportedModel for several at once, and for another one
 */
export function readPooling(text: string | null): Pooling | undefined {
  if (text === null) return undefined;
  const config = new ConfigReader(parsed(text), POOLING_FILE);
  const named = config.raw('pooling_mode');
  const flags = config.keys().filter((key) => key.startsWith('pooling_mode_') && config.raw(key) === true);
  const modes = named === undefined ? flags.map((key) => key.slice('pooling_mode_'.length)) : [String(named)];
  if (modes.length === 0) return undefined;
  const mode = modes.length === 1 ? MODES.get(modes[0]!) : undefined;
  if (mode) return mode;
  throw new UnsupportedModel(
    `${POOLING_FILE}: pooling by ${modes.join(' and ').slice(0, 200)} is not supported (only mean, cls or lasttoken)`,
    { path: POOLING_FILE, modes },
  );
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new InvalidCheckpoint('config', `${POOLING_FILE} is not JSON`, { path: POOLING_FILE }, { cause });
  }
}
