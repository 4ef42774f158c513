// The few DOM helpers every view uses. Text only ever becomes text nodes.

type Child = Node | string;

/** A string in place of attributes is the class. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: string | Readonly<Record<string, string>> = "",
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  const all = typeof attributes === "string" ? { class: attributes } : attributes;
  for (const [name, value] of Object.entries(all)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function button(className: string, onClick: () => void, ...children: readonly Child[]): HTMLButtonElement {
  const node = el("button", { type: "button", class: className }, ...children);
  node.addEventListener("click", onClick);
  return node;
}

const written = new WeakMap<Element, string>();

/**
 * Writes only what changed: live regions announce every write. It compares with what it wrote last, since a browser that translates the page
 * changes the text in the document.
 */
export function setText(node: Element, text: string): void {
  if (written.get(node) === text) return;
  written.set(node, text);
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}
