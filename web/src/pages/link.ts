// Owns what an address means: which page, and the token in its fragment (docs/protocol.md, "Tokens and links"). Pure.

export interface Link {
  readonly page: "sessions" | "join";
  readonly token: string;
  /** Join at once, without asking about devices. */
  readonly now: boolean;
}

export function readLink(pathname: string, hash: string): Link {
  const [token = "", ...options] = hash.replace(/^#/, "").split("&");
  return { page: pathname.replace(/\/+$/, "") === "/join" ? "join" : "sessions", token, now: options.includes("now") };
}
