// Owns the two things that a page must change in a session description (RFC 8866) because no API sets them: parameters of
// Opus (RFC 7587), and which tracks are played in step (the stream of RFC 8830). Pure text in, text out; everything else of SDP is the browser's and the server's business.

const CRLF = "\r\n";

/** Adds or replaces format parameters of Opus in the media section with this mid; other sections stay as they are. */
export function withOpusParameters(sdp: string, mid: string, parameters: Readonly<Record<string, string>>): string {
  return inSection(sdp, mid, (section) => changed(section, parameters));
}

/** Puts the track of the section with this mid into a stream: browsers keep a stream's sound and picture in step. */
export function withStream(sdp: string, mid: string, stream: string): string {
  return inSection(sdp, mid, (section) => section.replace(/^a=msid:\S+/m, `a=msid:${stream}`));
}

function inSection(sdp: string, mid: string, change: (section: string) => string): string {
  const [head, ...sections] = sdp.split(/(?=^m=)/m);
  return [head, ...sections.map((section) => (hasMid(section, mid) ? change(section) : section))].join("");
}

function hasMid(section: string, mid: string): boolean {
  return section.split(/\r?\n/).includes(`a=mid:${mid}`);
}

function changed(section: string, parameters: Readonly<Record<string, string>>): string {
  const lines = section.split(/\r?\n/);
  const map = lines.findIndex((line) => /^a=rtpmap:\d+ opus\/48000/i.test(line));
  const payload = /^a=rtpmap:(\d+) /.exec(lines[map] ?? "")?.[1];
  if (payload === undefined) return section;
  const prefix = `a=fmtp:${payload} `;
  const at = lines.findIndex((line) => line.startsWith(prefix));
  const merged = new Map((lines[at]?.slice(prefix.length) ?? "").split(";").flatMap(pair));
  for (const [name, value] of Object.entries(parameters)) merged.set(name, value);
  const line = prefix + [...merged].map(([name, value]) => `${name}=${value}`).join(";");
  if (at >= 0) lines[at] = line;
  else lines.splice(map + 1, 0, line);
  return lines.join(CRLF);
}

function pair(text: string): [string, string][] {
  const [name, ...value] = text.trim().split("=");
  return name ? [[name, value.join("=")]] : [];
}
