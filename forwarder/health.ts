/** The forwarder's lines of health: uplink, queue, queue file, dead letters, clock. */
import { okCheck, type CheckReport } from '../service/mqtt/status-reporter.ts';
import { isBeforeBuild, isOffStream } from '../service/process/clock-state.ts';
import type { Drain } from './drain/drain.ts';
import type { Queue } from './queue/queue.ts';

interface Reason {
  code: string;
  detail: string;
}

/** The only place where code and detail are joined to the text of a check. */
const checkOf = (name: string, status: CheckReport['status'], { code, detail }: Reason, hint: string): CheckReport => ({
  name,
  status,
  reason: `${code}: ${detail}`,
  hint,
});

export class ForwarderHealth {
  readonly #queue: Pick<Queue, 'state'>;
  readonly #drain: Pick<Drain, 'uplink' | 'clockAheadMs'>;

  constructor(queue: Pick<Queue, 'state'>, drain: Pick<Drain, 'uplink' | 'clockAheadMs'>) {
    this.#queue = queue;
    this.#drain = drain;
  }

  checks(): CheckReport[] {
    return [this.#uplinkCheck(), this.#queueCheck(), this.#fileCheck(), this.#deadLettersCheck(), this.#clockCheck()];
  }

  #uplinkCheck(): CheckReport {
    const { state, detail, hint } = this.#drain.uplink.current;
    if (state === 'ok') return okCheck('uplink');
    return checkOf('uplink', state === 'throttled' ? 'warn' : 'fail', { code: state, detail }, hint);
  }

  #queueCheck(): CheckReport {
    const { mode, reason } = this.#queue.state;
    if (reason === null) return okCheck('queue');
    if (mode === 'checking')
      return checkOf(
        'queue',
        'warn',
        reason,
        'Wait: at the start a large queue is read once from end to end. Bridges hold their readings meanwhile.',
      );
    return checkOf(
      'queue',
      'fail',
      reason,
      'Free space on the disk of DATA_DIR, raise QUEUE_MAX_BYTES, or fix the uplink. Bridges hold their readings meanwhile.',
    );
  }

  #fileCheck(): CheckReport {
    const { damage } = this.#queue.state;
    if (damage === null) return okCheck('queue file');
    return checkOf('queue file', 'warn', damage, 'Check the disk, then acknowledge this report (POST /damage/acknowledge).');
  }

  #deadLettersCheck(): CheckReport {
    const { deadLetters } = this.#queue.state;
    if (deadLetters === 0) return okCheck('dead letters');
    const detail = `${deadLetters} ${deadLetters === 1 ? 'reading was' : 'readings were'} refused`;
    return checkOf('dead letters', 'warn', { code: 'dead_letters', detail }, 'See GET /dead-letters; retry or discard them.');
  }

  #clockCheck(): CheckReport {
    const aheadMs = this.#drain.clockAheadMs;
    let detail: string | undefined;
    if (isBeforeBuild(new Date())) detail = `the time of this box is ${new Date().toISOString()}`;
    else if (isOffStream(aheadMs))
      detail = `this box is ${Math.abs(aheadMs)} ms ${aheadMs > 0 ? 'ahead of' : 'behind'} the stream`;
    if (detail === undefined) return okCheck('clock');
    return checkOf(
      'clock',
      'warn',
      { code: 'clock_wrong', detail },
      'Set the time of this box (timedatectl set-ntp true); readings are marked unsynced until then.',
    );
  }
}
