// Owns drawing the paper: grid, traces, labels, pulses of calibration and calipers, on a canvas. Colours come from the page.

import { xOf, yOf } from "./paper";
import type { Paper, Scale, Strip } from "./paper";
import type { Caliper } from "./calipers";
import type { Samples } from "./samples";

export interface Colours {
  readonly ground: string;
  readonly fine: string;
  readonly strong: string;
  readonly trace: string;
  readonly caliper: string;
}

export interface Sheet {
  readonly paper: Paper;
  readonly scale: Scale;
  readonly samples: Samples;
  readonly pxPerMm: number;
  readonly colours: Colours;
  readonly calipers: readonly Caliper[];
}

const LABEL_MM = 3.4;
const TRACE_PX = 1.4;
const PULSE_S = 0.2;

export function draw(canvas: HTMLCanvasElement, sheet: Sheet): void {
  const { paper, pxPerMm } = sheet;
  const ratio = Math.min(2, Math.max(1, devicePixelRatio));
  canvas.width = Math.round(paper.width * pxPerMm * ratio);
  canvas.height = Math.round(paper.height * pxPerMm * ratio);
  canvas.style.width = `${paper.width * pxPerMm}px`;
  canvas.style.height = `${paper.height * pxPerMm}px`;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(ratio, ratio);
  pen.fillStyle = sheet.colours.ground;
  pen.fillRect(0, 0, paper.width * pxPerMm, paper.height * pxPerMm);
  grid(pen, sheet, 1, sheet.colours.fine, 0.5);
  grid(pen, sheet, 5, sheet.colours.strong, 1);
  for (const strip of paper.strips) {
    trace(pen, sheet, strip);
    label(pen, sheet, strip);
    if (strip.isFirst) pulse(pen, sheet, strip);
  }
  for (const caliper of sheet.calipers) drawCaliper(pen, sheet, caliper);
}

function grid(pen: CanvasRenderingContext2D, { paper, pxPerMm }: Sheet, step: number, colour: string, width: number): void {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  for (let x = 0; x <= paper.width; x += step) {
    pen.moveTo(x * pxPerMm, 0);
    pen.lineTo(x * pxPerMm, paper.height * pxPerMm);
  }
  for (let y = 0; y <= paper.height; y += step) {
    pen.moveTo(0, y * pxPerMm);
    pen.lineTo(paper.width * pxPerMm, y * pxPerMm);
  }
  pen.stroke();
}

function trace(pen: CanvasRenderingContext2D, sheet: Sheet, strip: Strip): void {
  const { samples, scale, pxPerMm } = sheet;
  const channel = samples.group.channels[strip.channel];
  if (channel === undefined) return;
  pen.strokeStyle = sheet.colours.trace;
  pen.lineWidth = TRACE_PX;
  pen.lineJoin = "round";
  pen.beginPath();
  let isDown = false;
  const last = samples.sampleAt(channel, strip.toS);
  // Every sample, also where many fall on one point of the screen: a spike of a pacemaker is one sample wide.
  for (let sample = samples.sampleAt(channel, strip.fromS); sample <= last; sample++) {
    const value = samples.at(strip.channel, sample);
    if (Number.isNaN(value)) {
      isDown = false;
      continue;
    }
    const x = xOf(strip, scale.speed, sample / samples.group.rateHz + channel.skewS) * pxPerMm;
    const y = yOf(strip, value) * pxPerMm;
    if (isDown) pen.lineTo(x, y);
    else pen.moveTo(x, y);
    isDown = true;
  }
  pen.stroke();
}

function label(pen: CanvasRenderingContext2D, sheet: Sheet, strip: Strip): void {
  const channel = sheet.samples.group.channels[strip.channel];
  if (channel === undefined) return;
  const { pxPerMm } = sheet;
  const x = (strip.x + 1) * pxPerMm;
  const y = (strip.top + 1) * pxPerMm;
  const words = channel.unit === "mV" || channel.unit === "" ? channel.label : `${channel.label} (${channel.unit})`;
  pen.font = `600 ${Math.max(12, LABEL_MM * pxPerMm)}px Inter, system-ui, sans-serif`;
  pen.textBaseline = "top";
  // Legible over the trace and the grid.
  pen.strokeStyle = sheet.colours.ground;
  pen.lineWidth = 4;
  pen.strokeText(words, x, y);
  pen.fillStyle = sheet.colours.trace;
  pen.fillText(words, x, y);
}

/** One millivolt for a fifth of a second: who reads sees the gain and the speed. */
function pulse(pen: CanvasRenderingContext2D, { samples, scale, pxPerMm, colours }: Sheet, strip: Strip): void {
  if (samples.group.channels[strip.channel]?.unit !== "mV") return;
  const width = PULSE_S * scale.speed;
  const left = strip.x - width - 3;
  const points = [
    [left - 1, 0],
    [left, 0],
    [left, 1],
    [left + width, 1],
    [left + width, 0],
    [left + width + 1, 0],
  ] as const;
  pen.strokeStyle = colours.trace;
  pen.lineWidth = TRACE_PX;
  pen.beginPath();
  points.forEach(([x, value], index) => {
    if (index === 0) pen.moveTo(x * pxPerMm, yOf(strip, value) * pxPerMm);
    else pen.lineTo(x * pxPerMm, yOf(strip, value) * pxPerMm);
  });
  pen.stroke();
}

function drawCaliper(pen: CanvasRenderingContext2D, { paper, scale, pxPerMm, colours }: Sheet, caliper: Caliper): void {
  const { channel, fromS, toS, fromValue, toValue } = caliper;
  for (const strip of paper.strips) {
    const isHere = strip.channel === channel && Math.max(fromS, toS) >= strip.fromS && Math.min(fromS, toS) <= strip.toS;
    if (!isHere) continue;
    const [x1, x2] = [fromS, toS].map((time) => xOf(strip, scale.speed, time) * pxPerMm) as [number, number];
    const [y1, y2] = [fromValue, toValue].map((value) => yOf(strip, value) * pxPerMm) as [number, number];
    const [top, bottom] = [Math.min(strip.top * pxPerMm + 2, y1, y2), Math.max(strip.bottom * pxPerMm - 2, y1, y2)];
    pen.strokeStyle = colours.caliper;
    pen.lineWidth = 1.5;
    pen.setLineDash([]);
    pen.beginPath();
    for (const x of [x1, x2]) {
      pen.moveTo(x, top);
      pen.lineTo(x, bottom);
    }
    pen.stroke();
    pen.setLineDash([4, 3]);
    pen.beginPath();
    for (const y of [y1, y2]) {
      pen.moveTo(x1, y);
      pen.lineTo(x2, y);
    }
    pen.stroke();
    pen.setLineDash([]);
  }
}
