// Owns measuring how loud a stream is, for the meter beside a microphone. The AudioContext comes from outside.

const WINDOW = 1024;
/** Silence and full scale of the meter; speech lies between -50 and -15. */
const FLOOR_DB = -60;
const CEILING_DB = -6;

/** Reads 0..1 whenever called, until it is closed. */
export interface LevelMeter {
  read(): number;
  close(): void;
}

export function createLevelMeter(context: AudioContext, stream: MediaStream): LevelMeter {
  const source = context.createMediaStreamSource(stream);
  const analyser = context.createAnalyser();
  analyser.fftSize = WINDOW;
  source.connect(analyser);
  const samples = new Float32Array(WINDOW);
  return {
    read: () => {
      analyser.getFloatTimeDomainData(samples);
      return loudness(samples);
    },
    close: () => source.disconnect(),
  };
}

/** Root mean square on a decibel scale, 0 silence to 1 as loud as can be. */
export function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / Math.max(1, samples.length);
  if (power === 0) return 0;
  const db = 10 * Math.log10(power);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}
