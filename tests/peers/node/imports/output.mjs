// devo:collector/output: the lines that Devo would get, appended to the file `delivered` at a flush.
//
// A file `unconfirmed` makes the next flush fail, once: what was taken since the last one is lost.

import { appendFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const date = ({ seconds, nanoseconds }) =>
  new Date(Number(seconds) * 1000 + Math.floor(nanoseconds / 1e6)).toISOString().replace('T', ' ').replace('Z', '');

export function output(folder) {
  let taken = [];
  return {
    send(table, events) {
      const broken = events.findIndex(({ body }) => body.includes(0x0a));
      if (broken >= 0) throw { tag: 'event-refused', val: broken };
      for (const { time, body } of events) taken.push(Buffer.from(`<14>${date(time)} node ${table}: `), body, Buffer.from('\n'));
    },
    flush() {
      const lines = Buffer.concat(taken);
      taken = [];
      const refusal = join(folder, 'unconfirmed');
      if (existsSync(refusal)) {
        rmSync(refusal);
        throw { tag: 'unconfirmed', val: 'the receiver is away.' };
      }
      appendFileSync(join(folder, 'delivered'), lines, { flush: true });
    },
  };
}
