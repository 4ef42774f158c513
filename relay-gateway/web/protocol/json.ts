// JSON of plain values, whatever the page has added to built-in prototypes: old Prototype.js gives arrays a toJSON that makes strings of them.

type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [name: string]: Json };

// Taken at load: what the page replaces later does not matter. Strings and numbers have no toJSON looked up on them.
const { stringify } = JSON;
const { keys } = Object;

/** The JSON of `value`, without fields that are undefined, as `JSON.stringify` writes it where no prototype is changed. */
export function toJson(value: unknown): string {
  return write(value as Json);
}

function write(value: Json): string {
  if (typeof value !== "object" || value === null) return stringify(value ?? null);
  let inner = "";
  const add = (piece: string): void => {
    inner += inner === "" ? piece : `,${piece}`;
  };
  if (isArray(value)) {
    for (let i = 0; i < value.length; i += 1) add(write(value[i]));
    return `[${inner}]`;
  }
  const names = keys(value);
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i] as string;
    const field = value[name];
    if (field !== undefined) add(`${stringify(name)}:${write(field)}`);
  }
  return `{${inner}}`;
}

function isArray(value: object): value is readonly Json[] {
  return Array.isArray(value);
}
