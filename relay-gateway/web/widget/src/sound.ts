// A short sound for a message that comes while the visitor looks elsewhere. Off until the visitor asks for it.

/** The two notes, in hertz. */
const NOTES = [660, 880];
const NOTE_S = 0.12;
/** A sound that would start later than this is dropped. Browsers hold sound back until the visitor has clicked. */
const LATEST_MS = 500;

let context: AudioContext | null = null;

export async function ring(): Promise<void> {
  try {
    if (navigator.userActivation?.hasBeenActive === false) return;
    context ??= new AudioContext();
    const asked = Date.now();
    await context.resume();
    if (Date.now() - asked < LATEST_MS) play(context);
  } catch {
    // The browser plays no sound here. The badge still tells of the message.
  }
}

function play(audio: AudioContext): void {
  NOTES.forEach((hertz, i) => {
    const begin = audio.currentTime + i * NOTE_S;
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0, begin);
    volume.gain.linearRampToValueAtTime(0.12, begin + 0.01);
    volume.gain.exponentialRampToValueAtTime(0.001, begin + NOTE_S * 1.8);
    tone.connect(volume).connect(audio.destination);
    tone.start(begin);
    tone.stop(begin + NOTE_S * 2);
  });
}
