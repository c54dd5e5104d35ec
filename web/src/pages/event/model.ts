// Owns what the server says of an event outside its live session (docs/protocol.md, "Events over HTTP"). Pure.

import type { Agenda } from "../../event/agenda";
import { plain } from "../../event/tiles";
import type { InviteId, ParticipantId, Session, SessionId } from "../../protocol";

export { ITEM_KINDS } from "../../event/agenda";
export type { Agenda, AgendaItem, ItemKind, ItemState } from "../../event/agenda";

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

export interface Province {
  /** "" for those of no province. */
  readonly name: string;
  readonly points: readonly EventPoint[];
}

/** By name, as people of that language sort; those of no province at the end. */
export function byProvince(points: readonly EventPoint[], language: string): readonly Province[] {
  const order = new Intl.Collator(language, { numeric: true });
  const groups = new Map<string, EventPoint[]>();
  for (const point of points) {
    const key = point.province.toLocaleLowerCase();
    groups.set(key, [...(groups.get(key) ?? []), point]);
  }
  const named = [...groups.values()].map((group) => ({
    name: group[0]?.province ?? "",
    points: group.sort((a, b) => order.compare(a.organisation, b.organisation) || order.compare(a.name, b.name)),
  }));
  return named.sort((a, b) => Number(a.name === "") - Number(b.name === "") || order.compare(a.name, b.name));
}

/** Every word must be found, whatever the case and with or without marks. */
export function found(point: EventPoint, search: string): boolean {
  const text = plain([point.province, point.organisation, point.name, point.contact].join(" "));
  return plain(search)
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** The same for the same point, as the server takes it. */
export function keyOf({ province, organisation, name }: PointFields | Omit<PointFields, "contact">): string {
  return [province, organisation, name].map((text) => text.toLocaleLowerCase()).join("\n");
}

export function fieldsOf({ province, organisation, name, contact }: PointFields): PointFields {
  return { province, organisation, name, contact };
}

export function sameFields(a: PointFields, b: PointFields): boolean {
  return keyOf(a) === keyOf(b) && shownName(a) === shownName(b) && a.province === b.province && a.contact === b.contact;
}

/** As others see it: its place, and its room where that says more. */
export function shownName({ organisation, name }: PointFields): string {
  if (organisation === "" || name.toLocaleLowerCase().includes(organisation.toLocaleLowerCase())) return name;
  return name === "" ? organisation : `${organisation}, ${name}`;
}
