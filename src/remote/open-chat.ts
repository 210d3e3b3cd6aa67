/** One chat for an application, whoever answers: the model here where it runs, else the server that the user named. */
import type { Support } from '../engine/support.ts';
import { DeviceCapability, InvalidRequest, OutOfBudget, UnsupportedModel } from '../errors.ts';
import type { RemoteOptions } from './client.ts';
import { connect, type RemoteModel } from './connect.ts';
import type { AnyChat } from './types.ts';

export interface OpenChatOptions<Source> {
  /** As for `load`. */
  readonly local?: Source | undefined;
  readonly remote?: RemoteOptions | undefined;
  /** Which one, where both are given and could answer; default `local`. */
  readonly prefer?: 'local' | 'remote' | undefined;
}

export interface OpenedChat<Model> {
  /** Who answers. With `remote`, what is written leaves this computer: say so. */
  readonly side: 'local' | 'remote';
  /** Why that side, in one sentence for people. */
  readonly why: string;
  readonly chat: AnyChat;
  /** null where a server answers. */
  readonly model: Model | null;
  /** null where the model here answers. */
  readonly remote: RemoteModel | null;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface LocalSide<Source, Options, Model> {
  checkSupport(options: Options): Promise<Support>;
  load(source: Source, options: Options): Promise<{ readonly model: Model; readonly chat: AnyChat }>;
}

/** What says that a model does not run here; anything else, such as a broken network, is no reason to send text elsewhere. */
const DOES_NOT_RUN = [DeviceCapability, OutOfBudget, UnsupportedModel];

/**
 * @throws InvalidRequest when neither side is given
 * @throws as `load`, but for a model that does not run here when there is a server: then that one answers
 */
export async function openChatWith<Source, Options, Model extends { dispose(): Promise<void> }>(
  here: LocalSide<Source, Options, Model>,
  { local, remote, prefer }: OpenChatOptions<Source>,
  options: Options,
): Promise<OpenedChat<Model>> {
  if (local === undefined && remote === undefined)
    throw new InvalidRequest('Say which model answers: `local`, `remote`, or both', {});
  if (remote && local === undefined) return atServer(remote, 'No model was named for this computer');
  if (remote && prefer === 'remote') return atServer(remote, 'The server was asked for');
  try {
    const support = await here.checkSupport(options);
    if (!support.ok) throw new DeviceCapability(support.reason, support.message);
    return atHome(await here.load(local!, options));
  } catch (error) {
    if (!remote || !(error instanceof Error) || !DOES_NOT_RUN.some((kind) => error instanceof kind)) throw error;
    return atServer(remote, `The model does not run here: ${error.message}`);
  }
}

function atServer(options: RemoteOptions, why: string): OpenedChat<never> {
  const remote = connect(options);
  const dispose = (): Promise<void> => Promise.resolve();
  return { side: 'remote', why, chat: remote.chat, model: null, remote, dispose, [Symbol.asyncDispose]: dispose };
}

function atHome<Model extends { dispose(): Promise<void> }>(loaded: {
  readonly model: Model;
  readonly chat: AnyChat;
}): OpenedChat<Model> {
  const dispose = (): Promise<void> => loaded.model.dispose();
  return {
    ...loaded,
    side: 'local',
    why: 'The model runs here',
    remote: null,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
