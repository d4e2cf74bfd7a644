// devo:collector/output: the lines that Devo would get, appended to the file `delivered` at a flush, and records that
// can't become events, a line of JSON each, in the file `dead_letters`.
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
    addDeadLetters(table, letters) {
      const line = ({ reason, content }) => JSON.stringify({ table, reason, content_base64: Buffer.from(content).toString('base64') });
      appendFileSync(join(folder, 'dead_letters'), letters.map((letter) => `${line(letter)}\n`).join(''), { flush: true });
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
