// The shape of a translation: a text missing from a language does not compile.

export interface Dictionary {
  readonly openChat: string;
  readonly closeChat: string;
  readonly dismissGreeting: string;
  readonly unread: (count: number) => string;
  readonly chatTitle: string;
  readonly online: string;
  readonly repliesAtOnce: string;
  readonly offline: string;
  readonly waiting: string;
  readonly talkingTo: (name: string) => string;
  readonly talkingToPerson: string;
  readonly joined: (name: string | null) => string;
  readonly resolved: string;
  readonly agent: string;
  readonly messages: string;
  readonly youSaid: string;
  readonly said: (name: string) => string;
  readonly isTyping: (name: string) => string;
  readonly sources: string;
  readonly attach: string;
  readonly files: string;
  readonly removeFile: (name: string) => string;
  readonly fileReady: string;
  readonly fileTooLarge: string;
  readonly fileType: string;
  readonly fileRefused: string;
  readonly sending: string;
  readonly sent: string;
  readonly notSent: string;
  readonly tooLong: string;
  readonly retry: string;
  readonly remove: string;
  readonly rateTitle: string;
  readonly scoreOf: (score: number, best: number) => string;
  readonly rateComment: string;
  readonly thanks: string;
  readonly emailLabel: string;
  readonly emailKept: (email: string) => string;
  readonly emailRefused: string;
  readonly change: string;
  readonly loadingOlder: string;
  readonly newMessages: string;
  readonly composerLabel: string;
  readonly send: string;
  readonly charactersLeft: (count: number) => string;
  readonly charactersOver: (count: number) => string;
  readonly connecting: string;
  readonly reconnecting: string;
  readonly deviceOffline: string;
  readonly unreachable: string;
  readonly unavailable: string;
  readonly poweredBy: string;
  /** Stand in for the relay's untouched English defaults. */
  readonly defaultGreeting: string;
  readonly defaultPlaceholder: string;
}
