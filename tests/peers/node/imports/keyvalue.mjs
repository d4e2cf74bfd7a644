// wasi:keyvalue/store: one bucket, a folder with a file for each key, replaced as a whole. It is opened by one name.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export function keyvalue(folder, bucket = '') {
  class Bucket {
    #file = (key) => join(folder, encodeURIComponent(key));

    get(key) {
      return this.exists(key) ? new Uint8Array(readFileSync(this.#file(key))) : undefined;
    }

    set(key, value) {
      const unfinished = `${this.#file(key)}~`;
      const file = openSync(unfinished, 'w');
      writeSync(file, value);
      fsyncSync(file);
      closeSync(file);
      renameSync(unfinished, this.#file(key));
    }

    delete(key) {
      rmSync(this.#file(key), { force: true });
    }

    exists(key) {
      return existsSync(this.#file(key));
    }

    listKeys() {
      return { keys: readdirSync(folder).filter((name) => !name.endsWith('~')).map(decodeURIComponent), cursor: undefined };
    }
  }

  return {
    Bucket,
    open(name) {
      if (name !== bucket) throw { tag: 'no-such-store' };
      mkdirSync(folder, { recursive: true });
      return new Bucket();
    },
  };
}
