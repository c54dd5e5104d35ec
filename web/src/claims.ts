// Owns what a link's token says of itself (docs/protocol.md, "Tokens and links"): read for what to offer and what to ask for,
// never to allow anything, which only the server does. Pure.

import type { Role, SessionId } from "./protocol";

const ROLES: readonly string[] = ["organiser", "hub", "satellite", "viewer"] satisfies readonly Role[];

/** The role of an invite's token; null for any other, and for what is no token. */
export function roleOf(token: string): Role | null {
  const { role } = claimsOf(token);
  return typeof role === "string" && ROLES.includes(role) ? (role as Role) : null;
}

/** Who led a session may watch it afterwards. */
export function ledBy(token: string): boolean {
  const role = roleOf(token);
  return role === "hub" || role === "organiser";
}

/** The session that an invite's token is for; null for staff, who see all. */
export function sessionOf(token: string): SessionId | null {
  const { ses } = claimsOf(token);
  return typeof ses === "string" ? ses : null;
}

/** Of who runs the installation. */
export function isStaff(token: string): boolean {
  return claimsOf(token).use === "staff";
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const payload = token.split(".")[1] ?? "";
  try {
    const claims = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))) as unknown;
    return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
