// Pictograms, drawn here so that nothing is fetched. Each is 48 by 48 and takes the colour of the text around it.

// A right palm that faces the viewer: thumb on the right. 100 by 120.
const HAND = `
  <g fill="none" stroke="currentColor" stroke-linecap="round">
    <path stroke-width="14" d="M22 62 14 33M36 54 31 16M52 52 52 9M67 55 72 17"/>
    <path stroke-width="15" d="M72 86 90 61"/>
  </g>
  <path fill="currentColor" d="M15 60c10-9 50-12 59-2 3 10 4 16 3 26-2 18-12 30-30 31-17 1-26-12-29-27-1-9-3-18-3-28z"/>`;

const frame = (inside, label = "") =>
  `<svg viewBox="0 0 48 48" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round"
    stroke-linejoin="round" aria-hidden="true" ${label}>${inside}</svg>`;

const hand = (x, y, size) =>
  `<g transform="translate(${x} ${y}) scale(${size / 120})" stroke="none">${HAND}</g>`;

const whole = hand(6.5, 3, 42);
const small = hand(12.5, 11, 27);

const icons = {
  hand: whole,
  "show-hand": `${hand(10, 1, 33)}<path d="M8 44h32M16 39h16"/>`,
  "one-hand": `${hand(1, 9, 30)}<g opacity=".35">${hand(22, 9, 30)}</g><path d="m25 39 20-32"/>`,
  "not-a-hand": `${hand(4, 9, 34)}<path d="M36 9c1-4 8-4 8 1 0 4-4 4-4 8M40 24v.1"/>`,
  closer: `${small}<path d="M4 12V4h8M36 4h8v8M44 36v8h-8M12 44H4v-8"/>`,
  further: `${small}<path d="M10 3v7H3M38 3v7h7M38 45v-7h7M10 45v-7H3"/>`,
  centre: `${small}<path d="M24 2v5M24 41v5M2 24h6M40 24h6"/>`,
  flatter: `<path d="M6 34h36"/><path d="M8 30 36 12" opacity=".4"/><path d="M40 16c3 4 3 8 1 12M37 26l4 3 4-4"/>`,
  "hold-still": `${small}<path d="M5 14v20M43 14v20"/>`,
  "too-bright": `<circle cx="24" cy="24" r="8"/><path d="M24 4v5M24 39v5M4 24h5M39 24h5M10 10l3 3M35 35l3 3M10 38l3-3M35 13l3-3"/>`,
  "too-dark": `<path d="M38 29A16 16 0 0 1 19 10a16 16 0 1 0 19 19z"/>`,
  "fingers-apart": `${hand(10, 14, 33)}<path d="M5 11h12M31 11h12M9 7l-4 4 4 4M39 7l4 4-4 4"/>`,
  "wrong-hand": `${hand(12.5, 2, 27)}<path d="M8 36h32M34 31l6 5-6 5M14 31l-6 5 6 5"/>`,
  good: `<circle cx="24" cy="24" r="19"/><path d="m15 25 6 6 12-13"/>`,
  working: `<path d="M24 6a18 18 0 1 1-18 18"/>`,
  check: `<path d="m9 25 10 10 20-22"/>`,
  person: `<circle cx="24" cy="15" r="8"/><path d="M8 42c2-11 8-15 16-15s14 4 16 15"/>`,
  warn: `<path d="M24 6 44 41H4z"/><path d="M24 19v10M24 35v.1"/>`,
  cross: `<path d="M12 12l24 24M36 12 12 36"/>`,
  bin: `<path d="M9 13h30M19 13V8h10v5M13 13l2 28h18l2-28M21 21v12M27 21v12"/>`,
  card: `<rect x="5" y="11" width="38" height="27" rx="4"/><path d="M5 19h38M12 30h8"/>`,
  door: `<path d="M11 43V6h26v37M5 43h38M30 25v.1"/>`,
  shield: `<path d="M24 4 41 10v13c0 11-8 18-17 21-9-3-17-10-17-21V10z"/><path d="m16 24 6 6 11-12"/>`,
  nophoto: `<rect x="5" y="13" width="38" height="26" rx="4"/><circle cx="24" cy="26" r="7"/><path d="M6 44 42 6"/>`,
  clock: `<circle cx="24" cy="24" r="19"/><path d="M24 13v12l8 5"/>`,
  plug: `<path d="M17 5v10M31 5v10M11 15h26v8a13 13 0 0 1-26 0zM24 36v8"/>`,
  cloud: `<path d="M14 38a9 9 0 0 1-1-18 13 13 0 0 1 24 1 9 9 0 0 1 0 17z"/><path d="M24 25v7"/>`,
  back: `<path d="M40 24H10M21 12 9 24l12 12"/>`,
  arrow: `<path d="M8 24h30M27 12l12 12-12 12"/>`,
};
icons["next-hand"] = icons["wrong-hand"];
icons["another-palm"] = icons["one-hand"];

/** The markup of an icon; the plain hand for a name that has none. */
export function icon(name) {
  return frame(icons[name] ?? icons.hand);
}

/** A hand on its own; a left palm has its thumb on the left. */
export function palm(position) {
  const turned = position === "left" ? `transform="translate(100 0) scale(-1 1)"` : "";
  return `<svg viewBox="0 0 100 120" aria-hidden="true" class="palm"><g ${turned}>${HAND}</g></svg>`;
}

/** The mark beside the name. */
export const MARK = `<svg viewBox="0 0 48 48" aria-hidden="true" class="mark"><rect width="48" height="48" rx="13"
  fill="currentColor"/><g color="var(--surface)">${hand(9.5, 7, 35)}</g></svg>`;
