// Required into every thread of a process of a test: its wall clock is HR_TEST_CLOCK_OFFSET_MS off; the time since boot stays right.
const offsetMs = Number(process.env['HR_TEST_CLOCK_OFFSET_MS'] ?? 0);
const RealDate = Date;
class OffsetDate extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + offsetMs);
    else super(...args);
  }
  static now() {
    return RealDate.now() + offsetMs;
  }
}
globalThis.Date = OffsetDate;
