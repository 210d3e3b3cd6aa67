import type { IncomingMessage, ServerResponse } from 'node:http';

export function parseRange(
  header: string | undefined,
  size: number,
): { readonly begin: number; readonly end: number } | 'unsatisfiable' | null;

export function modelFiles(
  folder: string,
): (request: IncomingMessage, response: ServerResponse, next: () => void) => Promise<unknown>;
