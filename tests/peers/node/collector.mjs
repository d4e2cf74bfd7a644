// Runs the collector component in Node. A line on standard input names a call, a line on standard output answers it.
//
// usage: node collector.mjs COMPONENT FOLDER
//
// FOLDER has the settings (settings.json, flat names), gets the state (state/), the events (delivered) and what can't be one
// (dead_letters). The log goes to
// standard error. Every call is on a new instance, as the world demands.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';

import { transpiled } from './component.mjs';
import { config } from './imports/config.mjs';
import { types } from './imports/http.mjs';
import { keyvalue } from './imports/keyvalue.mjs';
import { logging } from './imports/logging.mjs';
import { output } from './imports/output.mjs';

const BUDGET = { requests: 1000, milliseconds: 30_000n };
const CALLS = {
  'set-up': (service) => service.setUp(),
  'pre-pull': (service) => service.prePull(),
  pull: (service) => service.pull(BUDGET),
  backfill: (service) => service.backfill(BUDGET),
};

const [component, folder] = process.argv.slice(2);
const bytes = readFileSync(component);
const instantiate = await transpiled(bytes);

function call(name) {
  const wasi = new WASIShim().getImportObject();
  const { service } = instantiate({
    ...wasi,
    'wasi:http/types': types(wasi['wasi:http/types']),
    'devo:collector/output': output(folder),
    'wasi:config/store': config(join(folder, 'settings.json')),
    'wasi:keyvalue/store': keyvalue(join(folder, 'state')),
    'wasi:logging/logging': logging,
  });
  try {
    return { ok: CALLS[name](service) ?? null };
  } catch (error) {
    // What the component reports is a case of its variant; all else is a fault of this program or of the engine.
    const { tag, val } = error.payload ?? error;
    if (tag === undefined) throw error;
    return { err: { class: tag, code: val.code, reason: val.reason } };
  }
}

const answer = (value) => console.log(JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? Number(item) : item)));

answer({ sha256: createHash('sha256').update(bytes).digest('hex') });
for await (const line of createInterface({ input: process.stdin })) answer(call(line));
process.exit(0); // the shim's worker for sockets would keep it alive
