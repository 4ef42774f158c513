// What the operator may do with a conversation now.
import type { Inbox } from "../service";
import type { Opened } from "../model";
import { Popup } from "./popup";

function tomorrowAtNine(): Date {
  const at = new Date();
  at.setDate(at.getDate() + 1);
  at.setHours(9, 0, 0, 0);
  return at;
}

export function Actions({ inbox, opened }: { inbox: Inbox; opened: Opened }) {
  const { state, words: text } = inbox;
  const isResolved = opened.handling === "resolved";
  const isMine = opened.handling === "assigned" && opened.operator?.operator_id === inbox.operator;
  // A person may have answered through the tenant's backend: then no operator has it, and anyone may claim it.
  const isTheirs = opened.handling === "assigned" && opened.operator !== null && !isMine;
  const isAside = opened.snoozed_until !== null && Date.parse(opened.snoozed_until) > Date.now();
  const colleagues = state.colleagues.filter((it) => it.operator_id !== opened.operator?.operator_id);
  const act = (verb: string, body?: unknown) => (): void => void inbox.change(verb, body);
  return (
    <div class="actions">
      {isResolved && <button type="button" class="primary" onClick={act("reopen")}>{text.reopen}</button>}
      {!isResolved && !isMine && !isTheirs && <button type="button" class="primary" onClick={act("claim")}>{text.claim}</button>}
      {isMine && <button type="button" class="primary" onClick={act("resolve")}>{text.resolve}</button>}
      {isMine && <button type="button" onClick={act("release")}>{text.release}</button>}
      {isMine && <button type="button" onClick={act("hand-back")}>{text.handBack}</button>}
      {!isResolved && !isTheirs && (
        <Popup label={text.assign}>
          {(close) => colleagues.map(({ operator_id, display_name }) => (
            <button type="button" key={operator_id} onClick={() => { close(); act("assign", { operator_id })(); }}>{display_name}</button>
          ))}
        </Popup>
      )}
      {!isResolved && (
        <Popup label={text.snooze}>
          {(close) => {
            const until = (time: Date | null) => (): void => {
              close();
              act("snooze", { until: time?.toISOString() ?? null })();
            };
            return (
              <>
                <button type="button" onClick={until(new Date(Date.now() + 3_600_000))}>{text.snoozeHour}</button>
                <button type="button" onClick={until(tomorrowAtNine())}>{text.snoozeMorning}</button>
                {isAside && <button type="button" onClick={until(null)}>{text.snoozeEnd}</button>}
              </>
            );
          }}
        </Popup>
      )}
    </div>
  );
}
