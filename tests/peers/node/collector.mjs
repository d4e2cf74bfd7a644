// Runs the collector component in Node. A line on standard input names a call, a line on standard output answers it.
//
// usage: node collector.mjs COMPONENT FOLDER
//
// FOLDER has the settings (settings.json, flat names), gets the state (state/) and the events (delivered). The log goes to
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

const CALLS = { 'set-up': 'setUp', 'pre-pull': 'prePull', pull: 'pull' };

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
    return { ok: service[CALLS[name]]() ?? null };
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
