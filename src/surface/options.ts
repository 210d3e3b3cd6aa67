/** Options in two parts: what can be cloned, and the functions and the signal that stay where they are. */

/** An option that is a function is replaced by its name: a call of it is an event. */
export interface SplitOptions {
  readonly data: Readonly<Record<string, unknown>>;
  readonly callbacks: readonly string[];
}

interface Called {
  readonly name: string;
  readonly args: readonly unknown[];
}

type Callback = (...args: unknown[]) => void;

/** `listener`, whose errors are the page's: they go to the console, as those of an event listener, and nothing of ours stops. */
export const told =
  <A extends unknown[]>(listener: (...args: A) => void) =>
  (...args: A): void => {
    try {
      listener(...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };

export interface Split {
  readonly options: SplitOptions;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: (event: unknown) => void;
}

export function split(options: object): Split {
  const { signal, ...rest } = options as Record<string, unknown>;
  const callbacks = new Map<string, Callback>();
  const data: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (typeof value === 'function') callbacks.set(name, told(value as Callback));
    else data[name] = value;
  }
  return {
    options: { data, callbacks: [...callbacks.keys()] },
    signal: signal as AbortSignal | undefined,
    onEvent: (event) => {
      const { name, args } = event as Called;
      callbacks.get(name)?.(...args);
    },
  };
}

/** The options again, with callbacks that are told through `emit`. */
export function join(
  { data, callbacks }: SplitOptions,
  { signal, emit }: { readonly signal: AbortSignal; emit(event: Called): void },
): Record<string, unknown> {
  const told = callbacks.map((name): [string, Callback] => [name, (...args) => emit({ name, args })]);
  return { ...data, ...Object.fromEntries(told), signal };
}
