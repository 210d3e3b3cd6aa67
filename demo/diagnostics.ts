/** A block of text to copy into a report: nothing about the conversation. */
import { version } from '../package.json';
import type { Support } from '../src/index.ts';
import type { Problem } from './problem.ts';

type Device = Extract<Support, { ok: true }>['device'];

export interface DiagnosticsInput {
  readonly problem: Problem;
  readonly device: Device | null;
  readonly model: string;
  readonly userAgent: string;
  readonly address: string;
  readonly isSecureContext: boolean;
  readonly hasWebGpu: boolean;
}

export function diagnosticsText(input: DiagnosticsInput): string {
  const { problem, device } = input;
  const lines = [
    `webmoe ${version}`,
    `problem: ${problem.id}: ${problem.summary}`,
    `model: ${input.model}`,
    `page: ${input.address} (${input.isSecureContext ? 'secure' : 'not secure'})`,
    `browser: ${input.userAgent}`,
    `navigator.gpu: ${input.hasWebGpu ? 'present' : 'missing'}`,
  ];
  if (!device) return [...lines, 'adapter: none'].join('\n');
  const { vendor, architecture, description, isFallback } = device.adapter;
  return [
    ...lines,
    `adapter: ${[vendor, architecture, description].filter(Boolean).join(', ') || 'unnamed'}${isFallback ? ' (software)' : ''}`,
    `features: ${[...device.features].sort().join(', ') || 'none'}`,
    'limits:',
    ...Object.entries(device.limits).map(([name, value]) => `  ${name}: ${value}`),
  ].join('\n');
}
