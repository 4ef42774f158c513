// The icons, built as SVG elements; all decorative, for every button carries a label.

export const CHAT = "M12 3.5C7 3.5 3 7 3 11.2c0 2.4 1.3 4.6 3.4 6L5.5 20.8l4.4-1.8c5.9.9 11.1-2.8 11.1-7.8 0-4.2-4-7.7-9-7.7z";
export const CLOSE = "M6.5 6.5l11 11m0-11l-11 11";

const PATHS = {
  chat: CHAT,
  chevron: "M6 9.5l6 6 6-6",
  close: CLOSE,
  attach: "M19 11.5l-7.2 7.2a4.6 4.6 0 0 1-6.5-6.5l7.6-7.6a3.1 3.1 0 0 1 4.4 4.4l-7.5 7.5a1.5 1.5 0 0 1-2.2-2.2l6.6-6.6",
  file: "M13.5 3.5H7a1.5 1.5 0 0 0-1.5 1.5v14A1.5 1.5 0 0 0 7 20.5h10a1.5 1.5 0 0 0 1.5-1.5V8.5zm0 0v5h5",
  send: "M12 19V5.5M5.5 12L12 5.5l6.5 6.5",
  back: "M14.5 6l-6 6 6 6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  star: "M12 3.8l2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z",
  person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-7.5 9c.6-4 3.6-6 7.5-6s6.9 2 7.5 6",
  list: "M5 7h14M5 12h14M5 17h9",
  more: "M5 12v.01M12 12v.01M19 12v.01",
  plus: "M12 5.5v13M5.5 12h13",
  alert: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 8v4.5m0 3v.01",
} as const;

const NAMESPACE = "http://www.w3.org/2000/svg";

export function icon(name: keyof typeof PATHS): SVGSVGElement {
  return drawn(name, PATHS[name]);
}

/** An icon of this path. */
export function drawn(name: string, d: string): SVGSVGElement {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NAMESPACE, "path");
  path.setAttribute("d", d);
  svg.append(path);
  return svg;
}
