// One brand colour in, a palette that can be read out: WCAG contrast decides, not taste.

type Rgb = readonly [number, number, number];

/** By the names of the style sheets' properties. */
export interface Palette {
  /** Fills: launcher, own bubbles, send button. */
  readonly accent: string;
  /** Text and icons on a fill: contrast 4.5 or more. */
  readonly "on-accent": string;
  /** The accent as text or focus ring on the surface: contrast 4.5 or more. */
  readonly "accent-text": string;
  /** The accent as "r, g, b", for tints. */
  readonly "accent-rgb": string;
}

const WHITE: Rgb = [255, 255, 255];
const INK: Rgb = [16, 20, 30];
const BLACK: Rgb = [0, 0, 0];
const TEXT_CONTRAST = 4.5;

/** The lightest place accent-coloured text stands on in light mode, the darkest fill in dark mode. */
const SURFACE = { light: [243, 245, 248] as Rgb, dark: [42, 46, 56] as Rgb };

export function palette(hex: string, dark: boolean): Palette {
  const brand = parse(hex);
  const surface = dark ? SURFACE.dark : SURFACE.light;
  const away = dark ? WHITE : BLACK;
  // A fill needs only to be seen as one; nobody wants a yellow brand turned to mud.
  const accent = moveAway(brand, away, surface, dark ? 1.9 : 1.2);
  return {
    accent: format(accent),
    "on-accent": format([WHITE, INK].find((ink) => contrast(ink, accent) >= TEXT_CONTRAST) ?? BLACK),
    "accent-text": format(moveAway(brand, away, surface, TEXT_CONTRAST)),
    "accent-rgb": accent.join(", "),
  };
}

export function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

function moveAway(colour: Rgb, towards: Rgb, from: Rgb, atLeast: number): Rgb {
  for (let share = 0; share < 1; share += 0.04) {
    const mixed = mix(colour, towards, share);
    if (contrast(mixed, from) >= atLeast) return mixed;
  }
  return towards;
}

function mix(a: Rgb, b: Rgb, share: number): Rgb {
  const channel = (i: 0 | 1 | 2): number => Math.round(a[i] + (b[i] - a[i]) * share);
  return [channel(0), channel(1), channel(2)];
}

function luminance([r, g, b]: Rgb): number {
  const linear = (value: number): number => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function parse(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function format(colour: Rgb): string {
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
