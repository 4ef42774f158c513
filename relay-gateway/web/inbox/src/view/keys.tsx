// The sheet with every key.
import { useEffect, useRef } from "preact/hooks";
import type { Words } from "../text";

export function Keys({ text, close }: { text: Words; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const keys: [string, string][] = [
    ["J  K", text.keyMove],
    ["Enter", text.keyOpen],
    ["C", text.keyClaim],
    ["R", text.keyRelease],
    ["B", text.keyBot],
    ["E", text.keyResolve],
    ["N", text.keyNote],
    ["/", text.keySearch],
    ["1 … 5", text.keyQueues],
    ["D", text.keyDetails],
    ["Enter", text.keySend],
    ["Esc", text.keyBack],
  ];
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys" onClose={close}>
      <h2 id="keys">{text.keys}</h2>
      <dl>{keys.map(([key, about]) => <div key={about}><dt><kbd>{key}</kbd></dt><dd>{about}</dd></div>)}</dl>
      <button type="button" onClick={() => dialog.current?.close()}>{text.close}</button>
    </dialog>
  );
}
