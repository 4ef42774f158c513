// Drawn signs: a font may lack the letter.
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">
      {children}
    </svg>
  );
}

export const MenuIcon = () => <Icon><path d="M3 5h14M3 10h14M3 15h14" /></Icon>;
export const BackIcon = () => <Icon><path d="M12 4l-6 6 6 6" /></Icon>;
export const CloseIcon = () => <Icon><path d="M5 5l10 10M15 5L5 15" /></Icon>;
export const DetailsIcon = () => <Icon><circle cx="10" cy="10" r="7.5" /><path d="M10 9v5M10 6v.01" /></Icon>;
export const EyeIcon = () => <Icon><path d="M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5z" /><circle cx="10" cy="10" r="2" /></Icon>;
