// wasi:config/store: a file of flat names and their values.

import { readFileSync } from 'node:fs';

export function config(file) {
  const settings = () => JSON.parse(readFileSync(file, 'utf8'));
  return { get: (name) => settings()[name], getAll: () => Object.entries(settings()) };
}
