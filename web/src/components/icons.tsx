// Owns the drawn signs: 24 x 24 outlines in the colour of the text. They never stand without a word beside them.

import type { JSX } from "preact";

const OUTLINES = {
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M8.5 21h7",
  microphoneOff:
    "M9 9.5V11a3 3 0 0 0 4.6 2.5M15 10V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10 5.5M18.5 11a6.4 6.4 0 0 1-.7 2.9M12 17.5V21M8.5 21h7M3.5 3.5l17 17",
  camera: "M3 7.5A1.5 1.5 0 0 1 4.500 6h9A1.5 1.5 0 0 1 15 7.500v9a1.5 1.5 0 0 1-1.500 1.500h-9A1.5 1.5 0 0 1 3 16.500ZM15 10.500l6-3.500v10l-6-3.500",
  cameraOff:
    "M7.500 6h6A1.500 1.500 0 0 1 15 7.500v6M15 16.500a1.500 1.500 0 0 1-1.500 1.500h-9A1.500 1.500 0 0 1 3 16.500v-9A1.500 1.500 0 0 1 4 6.100M15 10.500l6-3.500v10l-3.500-2M3.500 3.500l17 17",
  ultrasound: "M10 3h4v3.500h-4ZM9.500 6.500h5L20.500 17a14 14 0 0 1-17 0ZM8.300 11.500a8.500 8.500 0 0 0 7.400 0M6.300 15a13 13 0 0 0 11.400 0",
  screen: "M3 5h18v11.500H3ZM8.500 20.500h7M12 16.500v4M12 13.500V8M9.500 10.300 12 7.800l2.500 2.500",
  microscope: "M6 21h12M9 18h6M12.500 18a5 5 0 0 0 3-9M9 3.500l3.500-1.300 2.700 7.300-3.500 1.300ZM7.500 14.500h6",
  hand: "M8 12V6a1.400 1.400 0 0 1 2.800 0v5M10.800 10.500V4.400a1.400 1.400 0 0 1 2.800 0v6.100M13.600 11V5.600a1.400 1.400 0 0 1 2.800 0V12M16.400 12V8.500a1.400 1.400 0 0 1 2.800 0V14c0 4.200-2.600 7-6.400 7-3 0-4.600-1.300-6-3.700L4.300 13.500c-.8-1.500 1.100-2.700 2.200-1.400L8 14",
  chat: "M4 5h16v11.500H10.500L6 20.500v-4H4ZM8 9h8M8 12.500h5",
  people:
    "M9 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM2.500 20c.3-3.700 3-6 6.500-6s6.200 2.300 6.500 6M15.500 4.800a3.500 3.500 0 0 1 0 6.400M17.500 14.500c2.300.7 3.800 2.700 4 5.500",
  layout: "M3 4.500h18v15H3ZM15 4.500v15M15 9.500h6M15 14.500h6",
  fullScreen: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  facts: "M4 20V10M9.300 20V4M14.700 20v-7M20 20V7.500",
  keys: "M2.500 6h19v12h-19ZM6 9.500h.01M9 9.500h.01M12 9.500h.01M15 9.500h.01M18 9.500h.01M6 12.300h.01M18 12.300h.01M8 15h8",
  devices: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.800a2.200 2.200 0 1 0 0 4.400 2.200 2.200 0 0 0 0-4.400ZM9 14.800a2.200 2.200 0 1 0 0 4.400 2.200 2.200 0 0 0 0-4.400Z",
  leave: "M13 4H5v16h8M10 12h10.500M17 8.500l3.500 3.500-3.500 3.500",
  end: "M12 3v9M6.300 6.800a8 8 0 1 0 11.400 0",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M5.500 5.500l13 13M18.500 5.500l-13 13",
  check: "M4.500 12.500l5 5 10-11",
  copy: "M8.500 8.500h11v11h-11ZM15.500 8.500v-4h-11v11h4",
  warning: "M12 3.500 2.500 20h19ZM12 10v4.500M12 17.300h.01",
  sound: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500ZM15.500 9a4.200 4.200 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11",
  soundOff: "M4 9.500v5h3.500L12 18.500v-13L7.500 9.500ZM16 9.500l5 5M21 9.500l-5 5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400",
  moon: "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500Z",
  language: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3 12h18M12 3c5 5.500 5 12.500 0 18M12 3c-5 5.500-5 12.500 0 18",
  floor: "M6 10h12l-1.500 11h-9ZM12 10V5.500M12 5.500a1.600 1.600 0 1 0 0-3.200 1.600 1.600 0 0 0 0 3.200",
  remove: "M10 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM3 20c.3-3.700 3.300-6 7-6s6.700 2.300 7 6M16.500 9.500h5",
  plus: "M12 5v14M5 12h14",
  play: "M7 4.500v15l12-7.500Z",
  retry: "M19.500 12a7.500 7.500 0 1 1-2.400-5.500M19.500 3.500v4h-4",
  line: "M3 12h4l2.500-6 4.500 12 2.500-6H21",
  record: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17ZM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z",
  pause: "M9 5v14M15 5v14",
  stop: "M6 6h12v12H6Z",
  mark: "M7 3.500h10v17l-5-4-5 4Z",
  marks: "M4 4h8v15.500l-4-3.500-4 3.500ZM15.500 7H20M15.500 11H20M15.500 15H20",
  undo: "M8.500 5l-4 4 4 4M4.500 9H14a5.500 5.500 0 0 1 0 11H8.500",
  note: "M4.500 19.500l1-4.500L16 4.500l3.500 3.500L9 18.500Z",
  consent: "M12 3 5 6v5.500c0 4.500 3 7.800 7 9.500 4-1.700 7-5 7-9.500V6ZM9 12l2.200 2.200L15.200 10",
  recordings: "M3.500 5h17v14h-17ZM10 9v6l5-3Z",
  down: "M6 9.500l6 6 6-6",
} as const;

export type IconName = keyof typeof OUTLINES;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" data-name={name} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={OUTLINES[name]} />
    </svg>
  );
}

/** Three bars, as many filled as the line is good; crossed out when there is no line. */
export function LineBars({ quality }: { readonly quality: 0 | 1 | 2 | 3 | null }): JSX.Element {
  return (
    <svg class="icon bars" viewBox="0 0 24 24" aria-hidden="true" focusable="false" data-quality={quality ?? "unknown"}>
      {[1, 2, 3].map((bar) => (
        <rect
          key={bar}
          class={quality !== null && bar <= quality ? "bar full" : "bar"}
          x={bar * 6 - 3}
          y={20 - bar * 5}
          width="4"
          height={bar * 5}
          rx="1"
        />
      ))}
      {quality === 0 && <path d="M4 4l16 16" />}
    </svg>
  );
}
