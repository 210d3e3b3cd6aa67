/** Everything that can stop the page, said so that a visitor knows what to do next. */
import {
  DeviceCapability,
  DeviceLost,
  InvalidCheckpoint,
  InvalidRequest,
  OutOfBudget,
  SourceError,
  UnsupportedModel,
  WebmoeError,
  type RecoveryEvent,
} from '../src/index.ts';
import { formatBytes, formatCount } from './format.ts';

export interface Problem {
  /** Short and stable, for tests and reports. */
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly steps: readonly string[];
  /** What was asked for, beside what there is. */
  readonly needs?: { readonly needed: string; readonly available: string };
}

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** The two sides of a shortage, from the error's details. */
function needsOf({ details }: WebmoeError): Problem['needs'] {
  const needed = number(details.totalBytes) ?? number(details.bytes) ?? number(details.needed);
  const available = number(details.budgetBytes) ?? number(details.bindingBytes) ?? number(details.available);
  if (needed === null || available === null) return undefined;
  const isBytes = !('needed' in details) || /size/i.test(String(details.limit ?? ''));
  const show = isBytes ? formatBytes : formatCount;
  return { needed: show(needed), available: show(available) };
}

/** Every large number in a message about memory is a number of bytes. */
const readableBytes = (message: string): string =>
  message.replace(/\b(\d{6,})\b(?: bytes)?/g, (_, digits: string) => formatBytes(Number(digits)));

/** What went wrong, as a sentence: an error of webmoe or of the browser speaks for itself, a fault of ours does not. */
export function errorSentence(error: unknown, otherwise: string): string {
  if (error instanceof OutOfBudget) return readableBytes(error.message);
  if (error instanceof WebmoeError) return error.message;
  return error instanceof DOMException && error.message ? `${otherwise} The browser says: ${error.message}` : otherwise;
}

function withNeeds(error: WebmoeError, problem: Problem): Problem {
  const needs = needsOf(error);
  const readable = error instanceof OutOfBudget ? { ...problem, summary: readableBytes(problem.summary) } : problem;
  return needs ? { ...readable, needs } : readable;
}

/** Title and advice for what `load` and `plan` throw. @param isOffline the browser knows of no network */
export function loadProblem(error: unknown, isOffline = false): Problem {
  if (!(error instanceof WebmoeError)) {
    return {
      id: 'fault',
      title: 'Something went wrong in webmoe',
      summary: error instanceof Error && error.message ? error.message : 'The browser did not say what.',
      steps: ['This should not happen. Try again; if it stays, please report it with the details below.'],
    };
  }
  const problem = (title: string, ...steps: string[]): Problem => ({
    id: error.code,
    title,
    summary: error.message,
    steps,
  });
  if (error instanceof SourceError && isOffline)
    return {
      ...problem(
        'There is no connection',
        'Try again when this computer is online.',
        'Models that were loaded here before, and folders on this computer, work without one.',
      ),
      id: 'offline',
      summary: 'This model is not, or not all, on this computer, and what is missing cannot be fetched now.',
    };
  if (error instanceof SourceError)
    return problem(
      'The model could not be fetched',
      'Check the connection and that the address leads to a model folder, then try again.',
      'A server elsewhere must allow other sites to read it (CORS).',
    );
  if (error instanceof InvalidCheckpoint)
    return problem(
      'This is not a model that webmoe can read',
      'A model folder holds config.json, tokenizer.json and model.safetensors, or an index with its shards; or the model is one .gguf file.',
      'If files are damaged, download them again.',
    );
  if (error instanceof UnsupportedModel)
    return problem('webmoe does not run this model', 'Choose another model; the README lists the families that run.');
  if (error instanceof OutOfBudget)
    return withNeeds(
      error,
      problem(
        'The model does not fit on this graphics card',
        'Close other tabs and programs, give webmoe less graphics memory, or choose a smaller model.',
      ),
    );
  if (error instanceof DeviceCapability)
    return withNeeds(
      error,
      problem('This graphics card lacks something for this model', 'Choose another model, or try on another computer.'),
    );
  if (error instanceof DeviceLost) return lostProblem('unknown', error.message, false);
  return problem('The model could not be loaded', 'Try again, or choose another model.');
}

/** @param again it was lost a moment after the last reload */
export function lostProblem(reason: string, message: string, again: boolean): Problem {
  const said = message.trim() ? ` The browser says: ${message.trim()}` : '';
  return {
    id: again ? 'device-lost-again' : 'device-lost',
    title: again ? 'The graphics card stopped again' : 'The graphics card stopped',
    summary: `The browser took the graphics card away from this page (reason: ${reason}).${said}`,
    steps: again
      ? [
          'Close other tabs and programs that use the graphics card, and wait a moment.',
          'If it keeps happening, restart the browser and update the graphics driver.',
        ]
      : [
          'Reload the model: your conversation is kept.',
          'If no graphics card is found then, reload the page: after two crashes, a browser keeps a page from the card for two minutes.',
          'It happens when a driver restarts or memory runs out.',
        ],
  };
}

/** @param title of a recorded session whose file did not come */
export const recordingProblem = (title: string): Problem => ({
  id: 'recording',
  title: 'The recording could not be fetched',
  summary: `“${title}” comes with the page, but its file did not arrive.`,
  steps: ['Check the connection, then try again.', 'If the page was updated meanwhile, reload it.'],
});

/** What the page says while a lost device is replaced; null: nothing any more. */
export function recoveryNotice({ phase, attempt, reason }: RecoveryEvent): string | null {
  if (phase === 'recovered' || phase === 'gave-up') return null;
  if (phase === 'failed')
    return `The model could not be rebuilt. ${reason.replace(/\.?$/, '.')} Your next message tries again.`;
  return `The graphics device was lost; rebuilding${attempt > 1 ? `, try ${attempt}` : ''}…`;
}

/** True when the conversation no longer fits the context. */
export const isContextFull = (error: unknown): boolean =>
  error instanceof InvalidRequest && 'contextLength' in error.details;
