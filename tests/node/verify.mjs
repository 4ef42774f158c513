// Verifies one delivery with the npm library of Standard Webhooks: reads {secret, body, headers} as JSON, and writes what the body says.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, body, headers } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(new Webhook(secret).verify(body, headers)));
