// The Python that the Python tests run in.
import { fileURLToPath } from "node:url";

export const PYTHON = process.env.PYTHON ?? fileURLToPath(new URL("../.venv/bin/python", import.meta.url));
