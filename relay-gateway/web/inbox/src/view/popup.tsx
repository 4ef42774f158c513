// A button and what it opens: closed again by Escape, by a choice, and by a click elsewhere.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props {
  label: ComponentChildren;
  /** For a button whose label is a sign. */
  name?: string;
  class?: string;
  children: (close: () => void) => ComponentChildren;
}

export function Popup({ label, name, class: classes = "", children }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  const place = useRef<HTMLSpanElement | null>(null);
  const button = useRef<HTMLButtonElement | null>(null);

  // A layout effect runs before the next key press or click, which may already be meant for this popup.
  useLayoutEffect(() => {
    if (!isOpen) return;
    const pressed = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      // Escape closes the innermost thing alone.
      event.stopPropagation();
      setIsOpen(false);
      button.current?.focus();
    };
    const clicked = (event: Event): void => {
      if (!place.current?.contains(event.target as Node)) setIsOpen(false);
    };
    document.addEventListener("keydown", pressed, true);
    document.addEventListener("pointerdown", clicked, true);
    return () => {
      document.removeEventListener("keydown", pressed, true);
      document.removeEventListener("pointerdown", clicked, true);
    };
  }, [isOpen]);

  const close = (): void => {
    setIsOpen(false);
    button.current?.focus();
  };
  return (
    <span class={`popup-place ${classes}`} ref={place}>
      <button
        type="button"
        class={name === undefined ? "" : "icon"}
        ref={button}
        aria-label={name}
        aria-expanded={isOpen}
        onClick={() => setIsOpen(!isOpen)}
      >
        {label}
      </button>
      {isOpen && <div class="popup">{children(close)}</div>}
    </span>
  );
}
