// Preloaded into a process of a test: shifts its wall clock by the milliseconds in the file HR_TEST_CLOCK; its monotonic clock stays right.
import { readFileSync } from 'node:fs';

const file = process.env['HR_TEST_CLOCK'] ?? '';
const RealDate = Date;
const realNow = Date.now.bind(Date);
let offsetMs = 0;
function look() {
  try {
    offsetMs = Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    offsetMs = 0;
  }
}
look();
setInterval(look, 20).unref();
class ShiftedDate extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(realNow() + offsetMs);
    else super(...args);
  }
  static now() {
    return realNow() + offsetMs;
  }
}
globalThis.Date = ShiftedDate;
