/** The page as a sequence of views: check the browser, ask, load, chat; and a problem view from anywhere. */
import { DeviceCapability, OutOfBudget, UnsupportedModel, type LoadOptions, type Support } from '../src/index.ts';
import type { ChatView } from './chat-view.ts';
import { Library } from './conversations/library.ts';
import { holdWriting } from './conversations/locks.ts';
import { diagnosticsText } from './diagnostics.ts';
import type { ChatModel, Engine, PagePlan } from './engine.ts';
import { environmentHere } from './environment.ts';
import { expertMonitor, type ExpertMonitor } from './experts/monitor.ts';
import { Frame } from './frame.ts';
import { keys } from './keys.ts';
import { later } from './later.ts';
import { loadingView } from './loading-view.ts';
import { MemoryChoices } from './memory/choices.ts';
import { memoryPanel, type MemoryPanel } from './memory/panel.ts';
import { followNetwork } from './offline/network.ts';
import type { PageOptions } from './options.ts';
import { Access } from './models/access.ts';
import { filesChoice, isFolder, keyOf, urlChoice, type Choice } from './models/choice.ts';
import { Download } from './models/download.ts';
import { loadProblem, lostProblem, recordingProblem, recoveryNotice, type Problem } from './problem.ts';
import { problemView, type Action } from './problem-view.ts';
import type { Session } from './recorded/sessions.ts';
import type { RecordedView } from './recorded/view.ts';
import { routingSplit, type Split } from './routing/split.ts';
import type { RemoteChoice } from './remote/form.ts';
import { sideBadge } from './remote/side.ts';
import { ReloadGuard } from './reload-guard.ts';
import { folderButton, startView, type StartView } from './start-view.ts';
import { StorageDialog } from './storage/dialog.ts';
import { supportProblem } from './support-page.ts';

type ChatParts = ConstructorParameters<typeof ChatView>[0];

/** Needed after a load only: its code comes while the model does. */
const chatCode = (): Promise<(parts: ChatParts) => ChatView> =>
  import('./chat-view.ts').then(
    ({ ChatView: View }) =>
      (parts) =>
        new View(parts),
  );

/** Without its page a model is of no use. */
const orDispose = <T>(part: Promise<T>, model: ChatModel): Promise<T> =>
  part.catch(async (error: unknown) => {
    await model.dispose();
    throw error;
  });

type Device = Extract<Support, { ok: true }>['device'];

/** After a loss: shorter jobs for the graphics card, whose watchdog is the usual cause. */
const CAUTIOUS: LoadOptions = { prefillChunk: 64 };

export class App {
  readonly #engine: Engine;
  readonly #frame: Frame;
  readonly #shipped: Choice;
  readonly #autoload: boolean;
  readonly #guard = new ReloadGuard();
  readonly #memory = new MemoryChoices();
  readonly #access = new Access();
  readonly #library = Library.open();
  #device: Device | null = null;
  #model: ChatModel | null = null;
  #chat: ChatView | null = null;
  #recorded: RecordedView | null = null;
  #experts: ExpertMonitor | null = null;
  #memoryPanel: MemoryPanel | null = null;
  #routing: Split | null = null;
  #start: StartView | null = null;
  #planning: AbortController | null = null;
  #choice: Choice;

  constructor(root: HTMLElement, engine: Engine, options: PageOptions) {
    this.#engine = engine;
    this.#shipped = urlChoice(options.modelUrl);
    this.#choice = this.#shipped;
    this.#autoload = options.autoload;
    const { storage } = engine;
    const dialog = storage === undefined ? null : new StorageDialog(storage);
    this.#frame = new Frame(root, {
      onNewChat: () => void this.#chat?.newChat(),
      onChangeModel: () => void this.#changeModel(),
      ...(dialog && { onStorage: () => dialog.open() }),
    });
    keys.listen(document);
    followNetwork((text) => this.#frame.announce(text));
  }

  /** @param reload ends this page, and starts the newer one */
  offerUpdate(reload: () => void): void {
    const text = 'A new version of this page is ready. Your conversations stay; a loaded model is loaded again.';
    this.#frame.offer(text, 'Reload', reload);
  }

  /** Looks at the browser, then asks or loads. */
  async start(): Promise<void> {
    this.#frame.show('checking', this.#frame.checking());
    const support = await this.#engine.checkSupport();
    if (!support.ok) {
      const problem = supportProblem(support.reason, support.message, await environmentHere(), location.href);
      this.#showProblem(problem, [{ label: 'Check again', run: () => void this.start() }], true);
      return;
    }
    this.#device = support.device;
    const { isFallback, description, architecture } = support.device.adapter;
    if (isFallback) this.#frame.warnSoftware(description || architecture || 'a software adapter');
    // A card that has just stopped is not started again without a question.
    if (this.#autoload && !this.#guard.isTooSoon) await this.#load(this.#shipped);
    else await this.#showStart();
  }

  async #showStart(choice = this.#shipped): Promise<void> {
    this.#choice = choice;
    const key = keyOf(choice);
    this.#leaveStart();
    const view = (this.#start = startView({
      name: choice.name,
      from: choice.from,
      replan: async (gpuBytes, signal) => {
        const plan = await this.#plan(choice, signal, gpuBytes);
        this.#memory.set(key, gpuBytes);
        return plan;
      },
      onLoad: (gpuBytes) => {
        if (gpuBytes !== null) this.#memory.set(key, gpuBytes);
        void this.#load(choice);
      },
      onFiles: (files, folder) => void this.#loadFiles(files, folder),
      ...(choice !== this.#shipped && { onShipped: () => void this.#showStart() }),
      below: [this.#recordedOffer(), this.#picker()],
    }));
    this.#frame.show('start', view.element);
    const planning = (this.#planning = new AbortController());
    try {
      const plan = await this.#firstPlan(choice, planning.signal);
      if (planning.signal.aborted) return;
      view.showPlan(plan);
      const { keepingText } = await import('./models/keeping.ts');
      view.showKeeping(await keepingText(this.#engine.storage, choice, plan));
    } catch (error) {
      if (!planning.signal.aborted) this.#showLoadError(error);
    }
  }

  #picker(): HTMLElement {
    return later(async () => {
      const { modelPicker } = await import('./models/picker.ts');
      return modelPicker({
        access: this.#access,
        storage: this.#engine.storage,
        withSpeed: this.#device?.adapter.isFallback !== true,
        onChoose: (choice) => void this.#showStart(choice),
        onRemote: (choice) => void this.#showRemote(choice),
      });
    });
  }

  #recordedOffer(): HTMLElement {
    return later(async () => {
      const { recordedOffer } = await import('./recorded/offer.ts');
      return recordedOffer((session) => void this.#showRecorded(session));
    });
  }

  #remoteForm(): HTMLElement {
    return later(async () => {
      const { remoteDetails } = await import('./remote/form.ts');
      return remoteDetails((choice) => void this.#showRemote(choice));
    });
  }

  #leaveStart(): void {
    this.#planning?.abort();
    this.#start?.dispose();
    this.#start = null;
  }

  /** With the memory that the visitor once chose, unless the model has outgrown it. */
  async #firstPlan(choice: Choice, signal: AbortSignal): Promise<PagePlan> {
    const chosen = this.#memory.get(keyOf(choice));
    try {
      return await this.#plan(choice, signal, chosen);
    } catch (error) {
      if (chosen === undefined || !(error instanceof OutOfBudget)) throw error;
      this.#memory.forget(keyOf(choice));
      return this.#plan(choice, signal);
    }
  }

  /** What loading would take on this very device. */
  #plan(choice: Choice, signal: AbortSignal, gpuBytes?: number): Promise<PagePlan> {
    const limits = this.#device?.limits;
    return this.#engine.plan(choice.source, {
      signal,
      gpuBytes,
      ...(limits && {
        limits: {
          maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
          maxBufferSize: limits.maxBufferSize,
        },
        kernels: this.#device!.kernels,
      }),
    });
  }

  #loadFiles(files: readonly File[], folder?: string): Promise<void> {
    return this.#load(filesChoice(files, folder));
  }

  async #load(choice: Choice, options: LoadOptions = {}): Promise<void> {
    this.#leaveStart();
    this.#choice = choice;
    const view = loadingView(choice.name, {
      onCancel: () => download.cancel(),
      // A folder is read anew: there is nothing to wait for.
      onPause: this.#engine.storage && !isFolder(choice) ? () => download.pause() : null,
      onResume: () => download.resume(),
    });
    const download = new Download(
      (signal) =>
        this.#engine.load(choice.source, {
          ...options,
          gpuBytes: this.#memory.get(keyOf(choice)),
          signal,
          onProgress: (progress) => view.show(progress),
        }),
      { onState: (state) => view.showState(state) },
    );
    this.#frame.show('loading', view.element);
    const code = chatCode();
    code.catch(() => undefined); // it is said when it is needed
    try {
      const model = await download.run();
      if (model) this.#showChat(model, choice, await this.#library, await orDispose(code, model));
      else await this.#showStart(choice);
    } catch (error) {
      this.#showLoadError(error);
    }
  }

  #showChat(model: ChatModel, choice: Choice, library: Library, chat: (parts: ChatParts) => ChatView): void {
    this.#model = model;
    const { description, architecture, vendor } = model.device.adapter;
    const experts = (this.#experts = expertMonitor(model));
    const memory = (this.#memoryPanel = memoryPanel(model, (bytes) => {
      this.#memory.set(keyOf(choice), bytes);
      experts?.refresh();
    }));
    const routing = (this.#routing = routingSplit(model, choice.name));
    this.#chat = chat({
      library,
      model: routing?.model ?? model,
      hold: holdWriting,
      modelName: choice.name,
      footnote: `${choice.name} runs in this tab, on ${description || [vendor, architecture].filter(Boolean).join(' ') || 'your graphics card'}. Small models make things up.`,
      contextLength: model.plan.contextLength,
      announce: (text) => this.#frame.announce(text),
      say: (sentence) => this.#frame.say(sentence),
      above: [sideBadge(null), ...[memory, experts].flatMap((part) => (part ? [part.element] : []))],
      beside: routing ? [routing.element] : [],
    });
    const { element, lead, tools } = this.#chat;
    const toggles = [memory, routing].flatMap((part) => (part ? [part.toggle] : []));
    this.#frame.show('chat', element, choice.name, [...tools, ...toggles], lead);
    this.#chat.shown();
    this.#frame.announce(`${choice.name} is loaded.`);
    model.onRecovery((event) => {
      if (this.#model !== model) return;
      this.#frame.notice(recoveryNotice(event));
      if (event.phase === 'recovered') this.#frame.announce('The graphics device is back.');
    });
    void model.lost.then(({ reason, message }) => {
      // A model that was left on purpose is lost too.
      if (this.#model === model) void this.#onLost(choice, reason, message);
    });
  }

  /** No part of the engine runs: a page without WebGPU can chat too. */
  async #showRemote({ remote, model }: RemoteChoice): Promise<void> {
    this.#leaveStart();
    await this.#leaveChat();
    const { remoteAnswers } = await import('./remote/answers.ts');
    const host = new URL(remote.baseURL).host;
    const [chat, library] = await Promise.all([chatCode(), this.#library]);
    this.#chat = chat({
      library,
      model: remoteAnswers(remote, model),
      hold: holdWriting,
      modelName: model,
      footnote: `${model} answers at ${host}: what you write is sent there. Models make things up.`,
      contextLength: Number.POSITIVE_INFINITY,
      announce: (text) => this.#frame.announce(text),
      say: (sentence) => this.#frame.say(sentence),
      above: [sideBadge(remote.baseURL)],
    });
    const { element, lead, tools } = this.#chat;
    this.#frame.show('chat', element, model, tools, lead);
    this.#chat.shown();
    this.#frame.announce(`${model} answers at ${host}.`);
  }

  /** Nothing is loaded but the recording: for a first look, and where no model runs. */
  async #showRecorded(session: Session): Promise<void> {
    this.#leaveStart();
    await this.#leaveChat();
    try {
      const [{ RecordedView: View }, recording] = await Promise.all([import('./recorded/view.ts'), session.load()]);
      const view = new View({
        recording,
        isInstant: matchMedia('(prefers-reduced-motion: reduce)').matches,
        announce: (text) => this.#frame.announce(text),
        say: (sentence) => this.#frame.say(sentence),
        onModel: () => void this.#changeModel(),
        onRemote: (choice) => void this.#showRemote(choice),
        onPlay: (other) => void this.#showRecorded(other),
      });
      this.#recorded = view;
      this.#frame.show('recorded', view.element, session.title);
      await view.start();
    } catch {
      const again = { label: 'Try again', run: () => void this.#showRecorded(session) };
      const models = { label: 'Choose a model', run: () => void this.#changeModel() };
      this.#showProblem(recordingProblem(session.title), [again, models], true);
    }
  }

  /** Without a card there is no question to ask: it is looked for again. */
  async #changeModel(): Promise<void> {
    await this.#leaveChat();
    await (this.#device ? this.#showStart() : this.start());
  }

  async #onLost(choice: Choice, reason: string, message: string): Promise<void> {
    void this.#leaveChat();
    const again = this.#guard.isTooSoon;
    this.#guard.mark();
    const reload = (): void => {
      this.#guard.mark();
      void this.#load(choice, CAUTIOUS);
    };
    this.#showProblem(
      lostProblem(reason, message, again),
      [again ? { label: 'Start over', run: () => void this.#showStart() } : { label: 'Reload the model', run: reload }],
      true,
    );
  }

  async #leaveChat(): Promise<void> {
    const model = this.#model;
    this.#model = null;
    this.#frame.notice(null);
    this.#chat?.dispose();
    this.#chat = null;
    this.#recorded?.dispose();
    this.#recorded = null;
    this.#experts?.dispose();
    this.#experts = null;
    this.#memoryPanel?.dispose();
    this.#memoryPanel = null;
    this.#routing?.dispose();
    this.#routing = null;
    await model?.dispose();
  }

  #showLoadError(error: unknown): void {
    if (error instanceof DeviceCapability && ['insecure-context', 'no-webgpu', 'no-adapter'].includes(error.reason)) {
      void this.start(); // the card went away between the check and the load
      return;
    }
    const isBeyond = [DeviceCapability, OutOfBudget, UnsupportedModel].some((kind) => error instanceof kind);
    this.#showProblem(
      loadProblem(error, !navigator.onLine),
      [
        { label: 'Try again', run: () => void this.#retry(error) },
        { label: 'Choose another model', run: () => void this.#showStart() },
        folderButton('quiet', (files) => void this.#loadFiles(files)),
      ],
      isBeyond,
    );
  }

  /** The same files once more; a URL goes back to its question, and so does what was too large: there is the slider. */
  #retry(error: unknown): Promise<void> {
    return !isFolder(this.#choice) || error instanceof OutOfBudget
      ? this.#showStart(this.#choice)
      : this.#load(this.#choice);
  }

  /** @param isBeyond it is beyond this browser or this card: a server is offered in its place */
  #showProblem(problem: Problem, actions: readonly (Action | HTMLElement)[], isBeyond = false): void {
    const diagnostics = diagnosticsText({
      problem,
      device: this.#device,
      model: isFolder(this.#choice) ? 'a folder on this computer' : keyOf(this.#choice),
      userAgent: navigator.userAgent,
      address: location.href,
      isSecureContext: window.isSecureContext,
      hasWebGpu: 'gpu' in navigator,
    });
    const view = problemView(problem, diagnostics, actions, [
      this.#recordedOffer(),
      ...(isBeyond ? [this.#remoteForm()] : []),
    ]);
    this.#frame.show('problem', view);
  }
}
