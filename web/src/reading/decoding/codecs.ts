// Owns which decoder reads which transfer syntax, and how each is called. Runs in a worker; the decoders' WebAssembly comes from the page.

import { Decoder as LosslessDecoder } from "@cornerstonejs/jpeg-lossless-decoder-js";
import type { PixelForm } from "../model";
import type { CodecName } from "./codecnames";
import { Undecodable } from "./form";
import type { Raw } from "./form";

interface FrameInfo {
  readonly width: number;
  readonly height: number;
  readonly bitsPerSample: number;
  readonly componentCount: number;
  readonly isSigned?: boolean;
  readonly isUsingColorTransform?: boolean;
}

interface WasmDecoder {
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): FrameInfo;
  readHeader?(): void;
  decode(): void;
  decodeSubResolution?(level: number, layer?: number): void;
  calculateSizeAtDecompositionLevel?(level: number): { readonly width: number; readonly height: number };
  getInterleaveMode?(): number;
  delete(): void;
}

type DecoderClass = new () => WasmDecoder;
type Factory = (options: Readonly<Record<string, unknown>>) => Promise<Readonly<Record<string, DecoderClass>>>;

const CLASSES: Readonly<Record<CodecName, string>> = { jpeg: "JPEGDecoder", jpegls: "JpegLSDecoder", jpeg2000: "J2KDecoder", htj2k: "HTJ2KDecoder" };
const FACTORIES: Readonly<Record<CodecName, () => Promise<{ readonly default: unknown }>>> = {
  jpeg: () => import("@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs"),
  jpegls: () => import("@cornerstonejs/codec-charls/decodewasmjs"),
  jpeg2000: () => import("@cornerstonejs/codec-openjpeg/decodewasmjs"),
  htj2k: () => import("@cornerstonejs/codec-openjph/wasmjs"),
};
const ready = new Map<CodecName, Promise<DecoderClass>>();

/** Resolves once the decoder's code has come; rejects where it did not, which says nothing of any frame. */
export async function prepare(name: CodecName, wasm: ArrayBuffer): Promise<void> {
  const code = FACTORIES[name]();
  if (!ready.has(name)) {
    const starting = code.then((module) => start(name, module.default as Factory, wasm));
    // Told by each frame that needs it.
    starting.catch(() => undefined);
    ready.set(name, starting);
  }
  await code;
}

async function start(name: CodecName, factory: Factory, wasm: ArrayBuffer): Promise<DecoderClass> {
  const silent = (): void => undefined;
  const module = await factory({ wasmBinary: wasm, print: silent, printErr: silent });
  const made = module[CLASSES[name]];
  if (!made) throw new Undecodable("the decoder is of another version");
  return made;
}

/** `level` gives 1/2^level of width and height, where the decoder can. */
export async function decodeWith(name: CodecName, bytes: Uint8Array, level: number): Promise<Raw> {
  const made = await ready.get(name);
  if (!made) throw new Undecodable("the decoder is not there");
  const decoder = new made();
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.readHeader?.();
    const isSmall = level > 0 && decoder.decodeSubResolution !== undefined;
    if (isSmall) decoder.decodeSubResolution?.(level);
    else decoder.decode();
    const info = decoder.getFrameInfo();
    const { width, height } = isSmall ? (decoder.calculateSizeAtDecompositionLevel?.(level) ?? info) : info;
    // A copy: the decoder's memory is its own and goes with it.
    const samples = info.componentCount;
    const data = inSamples(decoder.getDecodedBuffer().slice(), info, width * height * samples);
    const isPlanar = name === "jpegls" && samples === 3 && decoder.getInterleaveMode?.() === 0;
    return {
      data: isPlanar ? sideBySide(data, width * height) : data,
      columns: width,
      rows: height,
      samples,
      isRgb: name === "jpeg" || info.isUsingColorTransform === true,
    };
  } catch (error) {
    throw error instanceof Undecodable ? error : new Undecodable("the decoder gave up");
  } finally {
    decoder.delete();
  }
}

/** JPEG lossless, of eight and more bits (ISO 10918-1, process 14). */
export function decodeLossless(bytes: Uint8Array, form: PixelForm, columns: number, rows: number): Raw {
  try {
    const width = form.bitsAllocated <= 8 ? 1 : 2;
    const own = bytes.slice();
    const made = new LosslessDecoder().decode(own.buffer, 0, own.length, width);
    const data = width === 1 ? new Uint8Array(made.buffer, made.byteOffset, made.byteLength) : new Uint16Array(made.buffer, made.byteOffset, made.byteLength / 2);
    if (data.length < columns * rows * form.samples) throw new Undecodable("shorter than its pixels");
    return { data, columns, rows, samples: form.samples, isRgb: false };
  } catch (error) {
    throw error instanceof Undecodable ? error : new Undecodable("the decoder gave up");
  }
}

function inSamples(bytes: Uint8Array, info: FrameInfo, count: number): Uint8Array | Uint16Array {
  const data = info.bitsPerSample <= 8 ? bytes : new Uint16Array(bytes.buffer, 0, bytes.byteLength >> 1);
  if (data.length < count) throw new Undecodable("shorter than its pixels");
  return data;
}

function sideBySide(data: Uint8Array | Uint16Array, pixels: number): Uint8Array | Uint16Array {
  const next = data.slice();
  for (let at = 0; at < pixels; at++) {
    for (let sample = 0; sample < 3; sample++) next[at * 3 + sample] = data[sample * pixels + at] ?? 0;
  }
  return next;
}
