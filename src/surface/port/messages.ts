/** What two peers say to each other about the requests that one made of the other. Each side numbers its own. */
import type { WireError } from './wire-error.ts';

interface Request {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
  /** It is aborted from the start, with this reason. */
  readonly aborted?: WireError;
}

/** From the one who asks. */
export type Asking =
  | (Request & { readonly kind: 'call' })
  /** `credit`: how many items may be made before the reader asks for more. */
  | (Request & { readonly kind: 'stream'; readonly credit: number })
  | { readonly kind: 'more'; readonly id: number; readonly credit: number }
  /** The reader left the loop; a `result` still comes. */
  | { readonly kind: 'leave'; readonly id: number }
  | { readonly kind: 'abort'; readonly id: number; readonly reason: WireError };

/** From the one who answers. `note` is what changed beside, if anything did. */
export type Answering =
  | { readonly kind: 'event'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'item'; readonly id: number; readonly value: unknown; readonly note?: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown; readonly note?: unknown }
  /** `isReason`: it is what the request was aborted with. */
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly error: WireError;
      readonly isReason: boolean;
      readonly note?: unknown;
    };

export type Message = Asking | Answering;

/** Of a MessagePort, what is used of it. */
export interface Port {
  postMessage(message: Message, transfer: Transferable[]): void;
  close(): void;
  onmessage: ((event: MessageEvent<Message>) => void) | null;
  onmessageerror?: ((event: MessageEvent) => void) | null;
}
