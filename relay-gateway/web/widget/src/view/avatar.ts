// The round picture of whoever speaks: an image, else the initial of a name, else an icon.
import { el } from "./dom";
import { icon } from "./icons";

export interface Face {
  readonly name: string | null;
  readonly imageUrl: string | null;
}

export class Avatar {
  readonly element = el("span", { class: "avatar", "aria-hidden": "true" });
  #shown = "";

  show(face: Face): void {
    const key = `${face.name} ${face.imageUrl}`;
    if (key === this.#shown) return;
    this.#shown = key;
    this.#showFallback(face);
    if (face.imageUrl === null) return;
    const image = el("img", { alt: "", referrerpolicy: "no-referrer" });
    image.addEventListener("load", () => {
      if (key === this.#shown) this.element.replaceChildren(image);
    });
    image.src = face.imageUrl;
  }

  #showFallback({ name }: Face): void {
    const initial = [...(name?.trim() ?? "")][0]?.toLocaleUpperCase();
    this.element.replaceChildren(initial ?? icon("chat"));
  }
}
