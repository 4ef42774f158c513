// Random UUIDs from getRandomValues: crypto.randomUUID does not exist on insecure origins.

const TEMPLATE = "10000000-1000-4000-8000-100000000000";

export function randomId(): string {
  return TEMPLATE.replace(/[018]/g, (digit) => {
    const random = crypto.getRandomValues(new Uint8Array(1))[0] ?? 0;
    return (Number(digit) ^ (random & (15 >> (Number(digit) / 4)))).toString(16);
  });
}
