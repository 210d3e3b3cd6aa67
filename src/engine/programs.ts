/** The programs that a session runs, recorded once for the arenas that are there. */
import type { Program } from '../gpu/recording.ts';
import type { Forward } from './forward.ts';
import type { Body, Taps } from './forward/body.ts';
import type { RoutingLogs } from './forward/routing-log.ts';
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
  const [one, few, chunk, waves] = await Promise.all([
    forward.body('one', options),
    forward.batchOf(2) === 'few' ? forward.body('few', options) : null,
    forward.body('chunk', options),
    forward.body('chunk', { ...options, waves: true }),
  ]);
  return { one, few, chunk, waves, logs: options.logs ?? forward.logs };
}

/** Of a step of a few tokens that draws after each of them. */
export interface FewPrograms {
  readonly body: Body;
  readonly after: readonly Program[];
}

/** @param recorded the layers, where they are recorded or about to be */
export async function recordFew(
  forward: Forward,
  recorded: Body | Promise<Body> | null,
  adapter: string | null,
): Promise<FewPrograms> {
  const [body, head, sampling] = await Promise.all([
    recorded ?? forward.body('few', { adapter }),
    forward.fewLogits(adapter),
    forward.draws.few(),
  ]);
  return { body, after: [head, sampling] };
}

export async function recordPrograms(forward: Forward): Promise<Programs> {
  const [bodies, head, sampling, limitedSampling, topLogprobs] = await Promise.all([
    recordBodies(forward),
    forward.lastLogits(),
    forward.draws.one(false),
    forward.draws.one(true),
    forward.draws.topLogprobs(),
  ]);
  return { bodies, head, sampling, limitedSampling, topLogprobs };
}

/** What an answer with default options runs. */
export interface FirstPrograms {
  readonly programs: Programs;
  /** null: nothing guesses unless a request asks. */
  readonly few: FewPrograms | null;
}

/** @param guesses whether steps guess by default */
export async function recordFirst(forward: Forward, guesses: boolean): Promise<FirstPrograms> {
  const recorded = recordPrograms(forward);
  const body = forward.batchOf(2) === 'few' ? recorded.then(({ bodies }) => bodies.few!) : null;
  const [programs, few] = await Promise.all([
    recorded,
    guesses && forward.mayGuess ? recordFew(forward, body, null) : null,
  ]);
  return { programs, few };
}

/** The same under an adapter: drawing a token is as without. */
export async function recordAdapted(forward: Forward, base: Programs, adapter: string): Promise<Programs> {
  const [bodies, head] = await Promise.all([recordBodies(forward, { adapter }), forward.lastLogits(adapter)]);
  return { ...base, bodies, head };
}
