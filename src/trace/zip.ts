/** The members of a small zip archive, each held to its checksum (fflate inflates, but does not look at them). */
import { inflateSync } from 'fflate';
import { InvalidTrace } from '../errors.ts';

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
/** Of all members together: no trace is larger, and a bomb must not be unpacked. */
const MOST_BYTES = 2 ** 29;
/** Deflate cannot do better: a member that claims more is a lie, and must not get its memory. */
const MOST_RATIO = 1032;

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** @throws InvalidTrace when anything is damaged, encrypted, in zip64, or unpacks to more than 512 MiB */
export function readZip(bytes: Uint8Array, file: string): Map<string, Uint8Array> {
  const refuse = (what: string): never => {
    throw new InvalidTrace(`${file}: ${what}`, { file });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - END_BYTES;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) refuse('is no .npz archive, or its end is missing');
  const members = new Map<string, Uint8Array>();
  let total = 0;
  let at = view.getUint32(end + 16, true);
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    if (at + 46 > end || view.getUint32(at, true) !== ENTRY) refuse('its directory is damaged');
    const [method, crc] = [view.getUint16(at + 10, true), view.getUint32(at + 16, true)];
    const [packed, size] = [view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, nameEnd));
    total += size;
    if (total > MOST_BYTES) refuse(`unpacks to more than ${MOST_BYTES} bytes`);
    if (local + 30 > end || view.getUint32(local, true) !== LOCAL) refuse(`${name} is missing`);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (size > packed * MOST_RATIO) refuse(`${name} claims ${size} bytes, more than ${packed} can hold`);
    if (start + packed > end) refuse(`${name} is cut short`);
    const data = unpack(bytes.subarray(start, start + packed), method, size, `${file}: ${name}`);
    if (data.length !== size || crc32(data) !== crc) refuse(`${name} does not match its checksum`);
    if (members.has(name)) refuse(`${name} is there twice`);
    members.set(name, data);
    at = nameEnd + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}

function unpack(packed: Uint8Array, method: number, size: number, where: string): Uint8Array {
  if (method === 0) return packed;
  if (method !== 8) throw new InvalidTrace(`${where} is packed by method ${method}, which webmoe does not read`, {});
  try {
    return inflateSync(packed, { out: new Uint8Array(size) });
  } catch (cause) {
    throw new InvalidTrace(`${where} is damaged`, {}, { cause });
  }
}
