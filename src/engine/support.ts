/** Can this environment run a model at all? Never throws. */
import { DeviceCapability } from '../errors.ts';
import { openDevice, type DeviceFacts } from '../gpu/device.ts';

export type Support =
  | { readonly ok: true; readonly device: DeviceFacts }
  | { readonly ok: false; readonly reason: DeviceCapability['reason']; readonly message: string };

/** Opens a device, looks, and closes it again. A software adapter is fine here: `device.adapter.isFallback` tells. */
export async function checkSupport(options: { readonly gpu?: GPU } = {}): Promise<Support> {
  try {
    const { device, facts } = await openDevice(options.gpu ? { gpu: options.gpu } : {});
    device.destroy();
    return { ok: true, device: facts };
  } catch (error) {
    if (error instanceof DeviceCapability) return { ok: false, reason: error.reason, message: error.message };
    return { ok: false, reason: 'no-adapter', message: error instanceof Error ? error.message : String(error) };
  }
}
