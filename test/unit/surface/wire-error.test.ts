/** Errors that cross to another thread: of the class they were, with all they say. */
import { describe, expect, it } from 'vitest';
import * as errors from '../../../src/errors.ts';
import { fromWire, toWire } from '../../../src/surface/port/wire-error.ts';

const cross = (error: unknown): unknown => fromWire(structuredClone(toWire(error)));
const details = { file: 'a', bytes: 5 };
const cause = new TypeError('deep down', { cause: new DOMException('aborted', 'AbortError') });

const ALL: readonly errors.WebmoeError[] = [
  new errors.UnsupportedModel('m', details),
  new errors.InvalidCheckpoint('overlap', 'm', details, { cause }),
  new errors.InvalidTrace('m', details),
  new errors.SourceError('m', details, { cause }),
  new errors.StorageError('in-use', 'm', details),
  new errors.QuotaExceeded('m', details),
  new errors.DeviceCapability('no-adapter', 'm', details),
  new errors.OutOfBudget('m', details),
  new errors.RemoteError(503, 'm', details),
  new errors.DeviceLost('m', details),
  new errors.InvalidRequest('m', details),
  new errors.WorkerLost('m', details),
];

describe('every class of ours', () => {
  it('is among those tried here', () => {
    const classes = Object.values(errors).filter((value) => value !== errors.WebmoeError);
    expect(new Set(ALL.map(({ constructor }) => constructor))).toEqual(new Set(classes));
  });

  it.each(ALL.map((error) => [error.name, error] as const))('%s', (_name, error) => {
    const back = cross(error) as errors.WebmoeError;
    expect(back).toBeInstanceOf(error.constructor);
    expect(Object.getPrototypeOf(back)).toBe(Object.getPrototypeOf(error));
    expect({ ...back }).toEqual({ ...error });
    expect([back.name, back.message, back.code, back.stack]).toEqual([
      error.name,
      error.message,
      error.code,
      error.stack,
    ]);
    expect('cause' in back).toBe('cause' in error);
  });
});

describe('others', () => {
  it('causes stay a chain', () => {
    const { cause: first } = cross(new errors.SourceError('m', {}, { cause })) as Error;
    expect(first).toBeInstanceOf(TypeError);
    expect((first as Error).cause).toBeInstanceOf(DOMException);
    expect(((first as Error).cause as Error).name).toBe('AbortError');
  });

  it('a chain that bites its tail ends', () => {
    const error = new Error('a');
    error.cause = error;
    expect((cross(error) as Error).cause).toMatchObject({ message: 'a' });
  });

  it('names and fields of unknown errors, which are errors', () => {
    const odd = Object.assign(new Error('odd'), { name: 'OddError', code: 7, place: { row: 1 }, run: () => 1 });
    const back = cross(odd) as typeof odd;
    expect(back).toBeInstanceOf(Error);
    expect([back.name, back.message, back.code, back.place]).toEqual(['OddError', 'odd', 7, { row: 1 }]);
    expect(back.run).toBe('() => 1');
  });

  it('all errors of an aggregate', () => {
    const back = cross(new AggregateError([new errors.OutOfBudget('x', {}), 3], 'both')) as AggregateError;
    expect(back).toBeInstanceOf(AggregateError);
    expect(back.errors[0]).toBeInstanceOf(errors.OutOfBudget);
    expect(back.errors[1]).toBe(3);
  });

  it('a name like a property of every object is no class', () => {
    expect(cross(Object.assign(new Error('x'), { name: 'constructor' }))).toMatchObject({ name: 'constructor' });
  });

  it.each([undefined, null, 0, 'text', { a: [1] }])('what is thrown and is no error: %j', (value) => {
    expect(cross(value)).toEqual(value);
  });

  it('details that cannot be cloned are told in words', () => {
    const back = cross(new errors.SourceError('m', { bad: { read: () => 1, size: 3 } })) as errors.SourceError;
    expect(back.details).toEqual({ bad: { read: '() => 1', size: 3 } });
  });
});
