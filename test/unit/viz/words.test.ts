/** Numbers in words, as figures and their axes show them. */
import { expect, it } from 'vitest';
import { bytesWords, count, percentTick, short, timesWords } from '../../../src/viz/words.ts';

it('tells ticks of an axis apart, however small', () => {
  expect([0, 0.005, 0.01, 0.015].map(percentTick)).toEqual(['0 %', '0.5 %', '1 %', '1.5 %']);
  expect([0.07, 0.29, 1, 0.0005].map(percentTick)).toEqual(['7 %', '29 %', '100 %', '0.05 %']);
});

it('says how many times, how much and how many', () => {
  expect([1, -1, 0].map(timesWords)).toEqual(['×2.00', '÷2.00', '×1.00']);
  expect([1_250_000, 9_286_000_000].map(bytesWords)).toEqual(['1.25 MB', '9.29 GB']);
  expect([0, 0.0004, -0.0004, 0.0006].map(short)).toEqual(['0', '<0.001', '>-0.001', '0.001']);
  expect([count(1, 'token'), count(1870, 'token')]).toEqual(['1 token', '1,870 tokens']);
});
