// Serves a composed component over HTTP in Node: what a platform does that calls nothing but HTTP handlers.
//
// usage: node serve.mjs COMPONENT FOLDER [BUCKET]
//
// FOLDER has the settings (settings.json) and gets the state (state/), which is the bucket of that name. The port is printed once it listens; the component's
// log goes to standard error. Every request is handled by a new instance.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { HTTPServer } from '@bytecodealliance/preview2-shim/http';
import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';

import { transpiled } from './component.mjs';
import { config } from './imports/config.mjs';
import { types } from './imports/http.mjs';
import { keyvalue } from './imports/keyvalue.mjs';
import { logging } from './imports/logging.mjs';

const [component, folder, bucket] = process.argv.slice(2);
const instantiate = await transpiled(readFileSync(component));

const server = new HTTPServer({
  handle(request, response) {
    const wasi = new WASIShim().getImportObject();
    const { incomingHandler } = instantiate({
      ...wasi,
      'wasi:http/types': types(wasi['wasi:http/types']),
      'wasi:config/store': config(join(folder, 'settings.json')),
      'wasi:keyvalue/store': keyvalue(join(folder, 'state'), bucket),
      'wasi:logging/logging': logging,
    });
    incomingHandler.handle(request, response);
  },
});
server.listen(0, '127.0.0.1');
console.log(JSON.stringify({ port: server.address().port }));
