// Owns what a link's token says of itself (docs/protocol.md, "Tokens and links"): read for what to offer, never to allow
// anything, which only the server does. Pure.

import type { Role } from "../protocol";

const ROLES: readonly string[] = ["organiser", "hub", "satellite", "viewer"] satisfies readonly Role[];

/** The role of an invite's token; null for any other, and for what is no token. */
export function roleOf(token: string): Role | null {
  const payload = token.split(".")[1] ?? "";
  try {
    const claims = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))) as { role?: unknown } | null;
    const role = claims?.role;
    return typeof role === "string" && ROLES.includes(role) ? (role as Role) : null;
  } catch {
    return null;
  }
}

/** Who led a session may watch it afterwards. */
export function ledBy(token: string): boolean {
  const role = roleOf(token);
  return role === "hub" || role === "organiser";
}
