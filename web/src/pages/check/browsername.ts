// Owns naming a browser in a word or two, for who helps a point from afar. Pure.

const BROWSERS: readonly (readonly [string, RegExp])[] = [
  ["Edge", /\bEdgA?(?:iOS)?\/(\d+)/],
  ["Yandex", /\bYaBrowser\/(\d+)/],
  ["Cốc Cốc", /\bcoc_coc_browser\/(\d+)/],
  ["Opera", /\bOPR\/(\d+)/],
  ["Samsung Internet", /\bSamsungBrowser\/(\d+)/],
  ["Firefox", /\b(?:Firefox|FxiOS)\/(\d+)/],
  ["Chrome", /\b(?:Headless)?(?:Chrome|CriOS)\/(\d+)/],
  ["Safari", /\bVersion\/(\d+).*\bSafari\//],
];
const SYSTEMS: readonly (readonly [string, RegExp])[] = [
  ["Android", /Android/],
  ["iOS", /iPhone|iPad/],
  ["Windows", /Windows/],
  ["macOS", /Macintosh/],
  ["ChromeOS", /CrOS/],
  ["Linux", /Linux/],
];

/** As "Chrome 140, Windows"; "" if nothing is known. */
export function browserName(userAgent: string): string {
  const browser = BROWSERS.map(([name, sign]) => [name, sign.exec(userAgent)?.[1]] as const).find(([, version]) => version);
  const system = SYSTEMS.find(([, sign]) => sign.test(userAgent));
  return [browser ? `${browser[0]} ${browser[1] ?? ""}` : "", system?.[0] ?? ""].filter((part) => part !== "").join(", ");
}
