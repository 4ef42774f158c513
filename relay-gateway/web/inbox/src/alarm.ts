// A sound and a browser notification for a new message: each off until the operator turns it on.

const SOUND = "chat-relay-inbox-sound";
const NOTIFY = "chat-relay-inbox-notify";

function isOn(key: string): boolean {
  try {
    return localStorage.getItem(key) === "on";
  } catch {
    return false;
  }
}

function turn(key: string, on: boolean): void {
  try {
    localStorage.setItem(key, on ? "on" : "off");
  } catch {
    // It is off again after a reload.
  }
}

export const hasSound = (): boolean => isOn(SOUND);
export const notifies = (): boolean => isOn(NOTIFY) && "Notification" in window && Notification.permission === "granted";

export function setSound(on: boolean): void {
  turn(SOUND, on);
  if (on) beep();
}

/** Asks the browser only now, because the operator wants it. Answers whether notifications are on. */
export async function setNotifies(on: boolean): Promise<boolean> {
  const granted = on && "Notification" in window && (await Notification.requestPermission()) === "granted";
  turn(NOTIFY, granted);
  return granted;
}

function beep(): void {
  try {
    const context = new AudioContext();
    const [tone, volume] = [context.createOscillator(), context.createGain()];
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.08, context.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.0001, context.currentTime + 0.35);
    tone.connect(volume).connect(context.destination);
    tone.start();
    tone.stop(context.currentTime + 0.4);
    tone.onended = () => void context.close();
  } catch {
    // The browser plays nothing yet.
  }
}

export function alarm(title: string, body: string, open: () => void): void {
  if (hasSound()) beep();
  if (notifies() && document.visibilityState !== "visible") {
    try {
      const shown = new Notification(title, { body: body.slice(0, 120), tag: title });
      shown.onclick = () => {
        window.focus();
        open();
        shown.close();
      };
    } catch {
      // Browsers on phones take notifications from service workers alone.
    }
  }
}
