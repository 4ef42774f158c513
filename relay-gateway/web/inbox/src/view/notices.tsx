// Whole pages that stand in the place of the inbox.
import type { Words } from "../text";

export function Ended(props: { text: Words; why: "operator_token_superseded" | "tenant_suspended" | "no_token" }) {
  const { text, why } = props;
  const said = why === "no_token" ? text.noToken : why === "tenant_suspended" ? text.suspended : text.over;
  return (
    <main class="whole">
      <h1>{text.inbox}</h1>
      <p role="alert">{said}</p>
    </main>
  );
}

export function Ask(props: { text: Words; body: string; yes: () => void; no: () => void }) {
  const { text, body, yes, no } = props;
  return (
    <main class="whole">
      <h1>{text.replaceTitle}</h1>
      <p>{body}</p>
      <div class="row">
        <button type="button" class="primary" onClick={yes}>{text.replace}</button>
        <button type="button" onClick={no}>{text.keepThis}</button>
      </div>
    </main>
  );
}
