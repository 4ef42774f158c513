// Several widgets on one page: launchers side by side, open panels next to each other where there is room.
import type { Position } from "./protocol";

export interface Slot {
  readonly side: Position;
  readonly isOpen: boolean;
  readonly hasLauncher: boolean;
  place(index: number, isCrowded: boolean, shiftPx: number): void;
}

const PANEL_PX = 396;
const LAUNCHER_PX = 72;

const taken = new Set<Slot>();

export function takeSlot(slot: Slot): void {
  taken.add(slot);
}

export function leaveSlot(slot: Slot): void {
  taken.delete(slot);
  arrange();
}

export function arrange(): void {
  for (const side of ["bottom-right", "bottom-left"] as const) {
    const slots = [...taken].filter((slot) => slot.side === side);
    const launchers = slots.filter(({ hasLauncher }) => hasLauncher);
    let openBefore = 0;
    slots.forEach((slot) => {
      const index = Math.max(0, launchers.indexOf(slot));
      // Alone, a panel stands over its launcher; beside another it makes room. The style sheet keeps it in the window.
      slot.place(index, launchers.length > 1, openBefore > 0 ? openBefore * PANEL_PX : index * LAUNCHER_PX);
      if (slot.isOpen) openBefore += 1;
    });
  }
}
