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

export function serve(options?: ServeOptions): Promise<Served>;
export function serveUntilSignal(): Promise<void>;
