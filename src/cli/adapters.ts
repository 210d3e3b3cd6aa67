/** LoRA adapters that requests choose, on the command line. */
import { InvalidRequest } from '../errors.ts';
import { pathSource } from '../weights/node-source.ts';
import type { ByteSource } from '../weights/source.ts';
import type { OptionSpec, Options } from './args.ts';

export const ADAPTERS_OPTION: Readonly<Record<string, OptionSpec>> = {
  adapters: {
    type: 'text',
    value: 'NAME=DIR',
    help: 'LoRA adapters that a request chooses by naming one as its model; several with commas',
  },
};

/** @throws InvalidRequest for anything but names and folders, and for a name that stands twice */
export function adaptersOf(options: Options): Record<string, ByteSource> {
  const named = (options.text('adapters') ?? '').split(',').filter(Boolean);
  const found = new Map<string, ByteSource>();
  for (const item of named) {
    const [name = '', ...rest] = item.split('=');
    const folder = rest.join('=');
    if (!name || !folder || found.has(name))
      throw new InvalidRequest(`--adapters must be as in poems=DIR,code=DIR, each name once, got ${item}`);
    found.set(name, pathSource(folder));
  }
  return Object.fromEntries(found);
}
