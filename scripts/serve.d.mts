import type { RequestListener } from 'node:http';

export interface Served {
  readonly port: number;
  readonly host: string;
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly dist?: string;
  readonly models?: string;
  readonly host?: string;
  readonly port?: number;
}

/** What `serve` answers with. */
export function requestHandler(options: { readonly dist: string; readonly models: string }): RequestListener;
export function serve(options?: ServeOptions): Promise<Served>;
export function serveUntilSignal(): Promise<void>;
