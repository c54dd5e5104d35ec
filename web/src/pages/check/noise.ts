// Owns a picture that cannot be compressed: with it a sender fills whatever it is allowed to. Touches the document's canvas.

const WIDTH_PX = 640;
const HEIGHT_PX = 360;
const TILE_PX = 1024;
const FPS = 25;
/** Faint grain: strongly compressed it vanishes, so that a thin line is not overrun; lightly compressed it fills megabits. */
const MIDDLE = 128;
const SWING = 40;

export interface Noise {
  readonly track: MediaStreamTrack;
  stop(): void;
}

/** Null where the browser gives no canvas or no stream of it. */
export function createNoise(): Noise | null {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH_PX;
  canvas.height = HEIGHT_PX;
  const context = canvas.getContext("2d", { alpha: false });
  const tile = grain();
  if (!context || !tile || typeof canvas.captureStream !== "function") return null;
  const draw = (): void => {
    // Each picture from elsewhere in the grain: no encoder finds it again in the one before.
    const left = Math.floor(Math.random() * (TILE_PX - WIDTH_PX));
    const top = Math.floor(Math.random() * (TILE_PX - HEIGHT_PX));
    context.drawImage(tile, left, top, WIDTH_PX, HEIGHT_PX, 0, 0, WIDTH_PX, HEIGHT_PX);
  };
  draw();
  const [track] = canvas.captureStream(FPS).getVideoTracks();
  if (!track) return null;
  const timer = setInterval(draw, 1000 / FPS);
  return {
    track,
    stop: () => {
      clearInterval(timer);
      track.stop();
    },
  };
}

function grain(): HTMLCanvasElement | null {
  const tile = document.createElement("canvas");
  tile.width = tile.height = TILE_PX;
  const context = tile.getContext("2d");
  if (!context) return null;
  const image = context.createImageData(TILE_PX, TILE_PX);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) {
    const grey = MIDDLE - SWING + Math.floor(Math.random() * 2 * SWING);
    pixels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  context.putImageData(image, 0, 0);
  return tile;
}
