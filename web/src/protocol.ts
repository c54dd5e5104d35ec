// Owns the wire schema on the page's side: what docs/protocol.md says, as types, and the check of what arrives.
// Knows no socket, no DOM and no state.

export * from "./protocol/coding";
export * from "./protocol/errors";
export * from "./protocol/messages";
export * from "./protocol/objects";
