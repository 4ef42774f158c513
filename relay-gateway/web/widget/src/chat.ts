// The chat itself: takes the place of what the loader has drawn (contract.ts).
// The long texts come first, so that all code is near other code: gzip looks no further back than 32 KiB.
import "./view/stylesheet";
import "./text";
import "./advice";
import { tellOnConsole } from "./advice";
import type { Chat, Seat } from "./contract";
import { readAppearance, readOptions, type Settings } from "./options";
import { Stage } from "./stage";
import { Widget } from "./widget";

export const METHODS = ["open", "close", "toggle", "show", "reset", "identify"];

export function take(seat: Seat): Chat {
  const options = readOptions(seat.settings);
  if (options === null) throw new Error("a widget without its ids");
  const widget = new Widget(options, readAppearance(seat.settings), seat.answered ?? null);
  const stage = new Stage(seat, widget);
  const methods: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
    // Before there is anything to see, the page's call is no act of the visitor's.
    open: (isVisitors) => {
      widget.open(widget.state.config === null && isVisitors !== true);
      stage.reveal();
    },
    close: () => widget.close(),
    toggle: (isVisitors) => widget.toggle(isVisitors === true),
    show: () => widget.onChange(),
    reset: () => widget.reset(),
    identify: (identity, by, after) => widget.identify(identity, by, after),
  };
  stage.mount();
  void widget.start();
  return {
    call: (method, ...args) => {
      const act = Object.keys(methods).includes(method) ? methods[method] : undefined;
      if (act) return act(...args);
      return tellOnConsole(`ChatRelay has no method "${method}".`);
    },
    dress: (settings: Settings) => widget.dress(readAppearance(settings)),
    mount: () => stage.mount(),
    end: () => stage.end(),
  };
}
