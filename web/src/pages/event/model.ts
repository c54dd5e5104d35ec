// Owns what the server says of an event outside its live session (docs/protocol.md, "Events over HTTP"). Pure.

import type { InviteId, ParticipantId, Session, SessionId } from "../../protocol";

export type Grade = "red" | "amber" | "green";

/** The newest line check of a point. */
export interface LineCheck {
  readonly grade: Grade;
  readonly reasons: readonly { readonly code: string; readonly grade: Grade; readonly value: unknown }[];
  readonly measured: Readonly<Record<string, unknown>>;
  readonly at: number;
}

export interface PointFields {
  readonly province: string;
  readonly organisation: string;
  readonly name: string;
  readonly contact: string;
}

export interface EventPoint extends PointFields {
  readonly id: string;
  readonly invite: InviteId;
  readonly participant: ParticipantId;
  readonly expiresAt: number;
  readonly revoked: boolean;
  readonly connected: boolean;
  readonly check: LineCheck | null;
  /** Only where links were asked for, and the link stands. */
  readonly link?: string;
}

export const ITEM_KINDS = ["speech", "consult", "questions", "break"] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];
export type ItemState = "planned" | "now" | "done";

/** Of the run of show. */
export interface AgendaItem {
  readonly id?: string;
  readonly kind: ItemKind;
  readonly title: string;
  readonly point: string | null;
  readonly minutes: number;
  readonly state: ItemState;
}

export interface Agenda {
  readonly version: number;
  readonly items: readonly AgendaItem[];
}

export interface EventFacts {
  readonly session: SessionId;
  readonly title: string;
  readonly state: Session["state"];
  readonly startsAt: number | null;
  readonly points: readonly EventPoint[];
  readonly agenda: Agenda;
  readonly pointsUploadedAt: number | null;
}

export interface Counts {
  readonly points: number;
  readonly provinces: number;
  readonly connected: number;
  readonly checked: number;
}

export function countsOf(points: readonly EventPoint[]): Counts {
  return {
    points: points.length,
    provinces: new Set(points.map(({ province }) => province.toLocaleLowerCase()).filter((name) => name !== "")).size,
    connected: points.filter(({ connected }) => connected).length,
    checked: points.filter(({ check }) => check !== null).length,
  };
}

/** As others see it: its place, and its room where that says more. */
export function shownName({ organisation, name }: PointFields): string {
  if (organisation === "" || name.toLocaleLowerCase().includes(organisation.toLocaleLowerCase())) return name;
  return name === "" ? organisation : `${organisation}, ${name}`;
}
