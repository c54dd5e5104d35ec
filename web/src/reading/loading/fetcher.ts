// Owns how one picture comes: a codestream from its beginning on, of which no byte comes twice, else in the best other form that
// the server has; and how what came is decoded. Knows no order.

import { ApiError } from "../../api";
import type { DecoderPool } from "../decoding/pool";
import type { Decoded } from "../decoding/form";
import type { Picture } from "../model";
import { EXPLICIT_LITTLE, HTJ2K } from "./api";
import type { FrameAnswer, FrameAsk, StudyApi } from "./api";
import { Beginning } from "./held";
import type { Shelf } from "./held";
import { meaningOf } from "./meaning";
import type { Grade } from "./plan";

export const PREVIEW_LEVEL = 2;
const AS_STORED = "image/*; transfer-syntax=*, application/octet-stream; transfer-syntax=*";
const DECODED = `application/octet-stream; transfer-syntax=${EXPLICIT_LITTLE}`;
const LOSSY_JPEG: readonly string[] = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];
const CODESTREAM = `image/jphc; transfer-syntax=${HTJ2K}`;

export class Fetcher {
  constructor(
    private readonly api: StudyApi,
    private readonly pool: DecoderPool,
    private readonly shelf: Shelf,
  ) {}

  /** `onBytes`: all has come that is needed, and only the decoder is waited for. */
  async fetch(picture: Picture, grade: Grade, stop: AbortSignal, onBytes: () => void): Promise<void> {
    if (this.shelf.way(picture) === "progressive") await this.progressive(picture, grade, stop, onBytes);
    else await this.stored(picture, stop);
  }

  /** Decodes what came of a codestream; false where it is none that anybody can read. */
  async see(picture: Picture, beginning: Beginning): Promise<boolean> {
    const level = beginning.isWhole ? 0 : PREVIEW_LEVEL;
    const decoded = await this.decode(picture, beginning.bytes(), HTJ2K, level);
    if (!decoded) this.shelf.asStored(picture);
    else if (level === 0) this.shelf.keep(picture, decoded);
    else this.shelf.keepSmall(picture, decoded);
    return decoded !== null;
  }

  private async progressive(picture: Picture, grade: Grade, stop: AbortSignal, onBytes: () => void): Promise<void> {
    const held = this.shelf.of(picture);
    const beginning = (held.beginning ??= new Beginning());
    try {
      if (grade === "preview" && beginning.length < (held.previewEnd ?? Infinity)) await this.read(picture, beginning, PREVIEW_LEVEL, stop);
      else if (grade === "sharp" && !beginning.isWhole) await this.read(picture, beginning, null, stop);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "unsupported")) throw error;
      this.shelf.asStored(picture);
      return this.stored(picture, stop);
    }
    onBytes();
    if (!(await this.see(picture, beginning))) await this.stored(picture, stop);
  }

  private async read(picture: Picture, beginning: Beginning, level: number | null, stop: AbortSignal): Promise<void> {
    const held = this.shelf.of(picture);
    const ask: FrameAsk = {
      accept: CODESTREAM,
      ...(level !== null && beginning.length === 0 ? { level } : {}),
      ...(beginning.length > 0 ? { from: beginning.length } : {}),
      ...(beginning.length > 0 && level !== null && held.previewEnd !== null ? { to: held.previewEnd - 1 } : {}),
    };
    const onAnswer = (answer: FrameAnswer): void => {
      // A server that gives no ranges begins anew; so does one whose codestream is another by now.
      if (answer.from !== beginning.length || (beginning.total !== null && beginning.total !== answer.total)) beginning.clear();
      if (answer.from !== beginning.length) throw new ApiError("network", "bytes that nobody asked for");
      beginning.total = answer.total;
      if (ask.level !== undefined) held.previewEnd = answer.end;
    };
    await this.api.frame(picture, ask, stop, onAnswer, (bytes) => beginning.add(bytes));
    if (ask.to === undefined && ask.level === undefined) beginning.total = beginning.length;
    // Without its length said, what came is all there is.
    beginning.total ??= beginning.length;
  }

  private async stored(picture: Picture, stop: AbortSignal): Promise<void> {
    for (const accept of isDrawnOnly(picture) ? [] : [AS_STORED, DECODED]) {
      try {
        const { bytes, answer } = await this.bytes(picture, { accept }, stop);
        if (isOfDoubtfulColour(picture, answer.transferSyntax)) break;
        const decoded = await this.decode(picture, bytes, answer.transferSyntax, 0);
        if (decoded) {
          this.shelf.keep(picture, decoded);
          return;
        }
      } catch (error) {
        if (!(error instanceof ApiError && ["unsupported", "internal", "damaged"].includes(error.code))) throw error;
      }
    }
    // Whatever the server can draw can be seen at least, though not measured.
    const { bytes } = await this.bytes(picture, { accept: "image/png", rendered: true }, stop);
    this.shelf.keep(picture, await drawn(bytes));
  }

  private async bytes(picture: Picture, ask: FrameAsk, stop: AbortSignal): Promise<{ bytes: Uint8Array; answer: FrameAnswer }> {
    const all = new Beginning();
    const answers: FrameAnswer[] = [];
    await this.api.frame(picture, ask, stop, (answer) => answers.push(answer), (bytes) => all.add(bytes));
    const [answer] = answers;
    if (!answer) throw new ApiError("network", "no answer");
    return { bytes: all.bytes(), answer };
  }

  private async decode(picture: Picture, bytes: Uint8Array, transferSyntax: string, level: number): Promise<Decoded | null> {
    const { columns, rows } = picture;
    const meaning = await meaningOf(picture, this.api);
    return this.pool.decode({ bytes, transferSyntax, columns, rows, level, meaning });
  }
}

/** Its palette is told in segments (PS3.3 C.7.9.2), which only the server reads. */
const isDrawnOnly = ({ form, palette }: Picture): boolean => form.photometric === "PALETTE COLOR" && palette === null;

/** A JPEG decoder takes three colours for luminance and chrominance; where the object says otherwise, the server knows which it is. */
function isOfDoubtfulColour({ form }: Picture, transferSyntax: string): boolean {
  return form.photometric === "RGB" && LOSSY_JPEG.includes(transferSyntax);
}

async function drawn(bytes: Uint8Array): Promise<Decoded> {
  const picture = await createImageBitmap(new Blob([bytes.slice()], { type: "image/png" }));
  const { width, height } = picture;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  if (!pen) throw new ApiError("internal", "nothing to draw on");
  pen.drawImage(picture, 0, 0);
  picture.close();
  const { data } = pen.getImageData(0, 0, width, height);
  const colours = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) colours.set(data.subarray(at * 4, at * 4 + 3), at * 3);
  return { data: colours, columns: width, rows: height, samples: 3 };
}
