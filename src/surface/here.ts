/** The engine in this thread. */
import { load, type LoadOptions } from '../engine/load.ts';
import type { ByteSource } from '../weights/source.ts';
import { Direct } from './direct.ts';
import { Host, type OpenEngine } from './host.ts';
import type { Connected } from './link.ts';

export { openSource } from '../engine/open-source.ts';

/** @param open gives the bytes behind a source, with what its options need to be complete */
export function connectHere(
  open: (
    source: unknown,
    options: LoadOptions,
  ) => Promise<{ readonly bytes: ByteSource; readonly options: LoadOptions }>,
): Connected {
  const engine: OpenEngine = async (source, given) => {
    const { bytes, options } = await open(source, given);
    return { model: await load(bytes, options), label: bytes.label };
  };
  const host = new Host(engine);
  return { connection: new Direct(host.handlers, () => host.state), runsIn: 'this-thread' };
}
