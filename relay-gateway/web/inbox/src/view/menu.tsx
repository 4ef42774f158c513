// Sound, notifications, language and keys.
import { useState } from "preact/hooks";
import { hasSound, notifies, setNotifies, setSound } from "../alarm";
import { keepLanguage, language, type Words } from "../text";
import { MenuIcon } from "./icons";
import { Popup } from "./popup";

export function Menu({ text, showKeys }: { text: Words; showKeys: () => void }) {
  const [sound, setSoundOn] = useState(hasSound);
  const [notify, setNotifyOn] = useState(notifies);
  const speak = (chosen: "en" | "fr") => (): void => {
    if (chosen === language()) return;
    keepLanguage(chosen);
    location.reload();
  };
  return (
    <Popup label={<MenuIcon />} name={text.menu} class="end">
      {(close) => (
        <>
          <label><input type="checkbox" checked={sound} onChange={() => { setSound(!sound); setSoundOn(!sound); }} /> {text.sound}</label>
          <label><input type="checkbox" checked={notify} onChange={() => void setNotifies(!notify).then(setNotifyOn)} /> {text.notify}</label>
          <button type="button" lang="en" aria-pressed={language() === "en"} onClick={speak("en")}>{text.english}</button>
          <button type="button" lang="fr" aria-pressed={language() === "fr"} onClick={speak("fr")}>{text.french}</button>
          <button type="button" onClick={() => { close(); showKeys(); }}>{text.keys} <kbd>?</kbd></button>
        </>
      )}
    </Popup>
  );
}
