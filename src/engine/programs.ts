/** The programs that a session runs, recorded once for the arenas that are there. */
import type { Program } from '../gpu/recording.ts';
import type { Forward, RoutingLogs, Taps } from './forward.ts';
import type { Bodies } from './stepper.ts';

export interface Programs {
  readonly bodies: Bodies;
  readonly head: Program;
  readonly sampling: Program;
  readonly limitedSampling: Program;
  readonly topLogprobs: Program;
}

export async function recordBodies(
  forward: Forward,
  options: { readonly taps?: Taps; readonly logs?: RoutingLogs; readonly adapter?: string | null } = {},
): Promise<Bodies> {
  const [one, chunk, waves] = await Promise.all([
    forward.body('one', options),
    forward.body('chunk', options),
    forward.body('chunk', { ...options, waves: true }),
  ]);
  return { one, chunk, waves, logs: options.logs ?? forward.logs };
}

export async function recordPrograms(forward: Forward): Promise<Programs> {
  const [bodies, head, sampling, limitedSampling, topLogprobs] = await Promise.all([
    recordBodies(forward),
    forward.lastLogits(),
    forward.sampling(false),
    forward.sampling(true),
    forward.topLogprobs(),
  ]);
  return { bodies, head, sampling, limitedSampling, topLogprobs };
}

/** The same under an adapter: drawing a token is as without. */
export async function recordAdapted(forward: Forward, base: Programs, adapter: string): Promise<Programs> {
  const [bodies, head] = await Promise.all([recordBodies(forward, { adapter }), forward.lastLogits(adapter)]);
  return { ...base, bodies, head };
}
