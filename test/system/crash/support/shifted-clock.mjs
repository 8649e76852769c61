// Preloaded into a process of a test: its wall clock is off by the milliseconds in the file that HR_TEST_CLOCK names; the monotonic one is not.
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
