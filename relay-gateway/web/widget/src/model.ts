// One widget's state, and the only place that changes it: each change goes through the reducer, and is told to the view and the page.
import { Emitter } from "./events";
import type { Appearance } from "./options";
import { INITIAL, unreadCount, type State } from "./state";
import { reduce, type Action, type Patch } from "./store";

export class Model {
  readonly events = new Emitter();
  state: State;
  /** Called after every change, and where a change asks for it. */
  onChange: () => void = () => undefined;

  constructor(appearance: Appearance) {
    this.state = { ...INITIAL, appearance };
  }

  patch(patch: Patch): void {
    this.apply({ type: "patch", patch });
  }

  apply(action: Action): void {
    const unread = unreadCount(this.state);
    this.state = reduce(this.state, action);
    this.onChange();
    const now = unreadCount(this.state);
    if (now !== unread) this.events.emit("unread", { count: now });
  }
}
