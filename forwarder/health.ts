/** The forwarder's lines of health: uplink, queue, queue file, dead letters, clock. */
import { failing, okCheck, warning, type CheckReport } from '../service/health/check-report.ts';
import { isBeforeBuild, isOffStream } from '../service/process/clock-state.ts';
import type { Drain } from './drain/drain.ts';
import type { Queue } from './queue/queue.ts';

export class ForwarderHealth {
  readonly #queue: Pick<Queue, 'state'>;
  readonly #drain: Pick<Drain, 'uplink' | 'clockAheadMs'>;

  constructor(queue: Pick<Queue, 'state'>, drain: Pick<Drain, 'uplink' | 'clockAheadMs'>) {
    this.#queue = queue;
    this.#drain = drain;
  }

  checks(): CheckReport[] {
    const { pinned } = this.#queue.state;
    return [
      this.#uplinkCheck(),
      this.#queueCheck(),
      this.#fileCheck(),
      ...(pinned === null ? [] : [warning('queue log', pinned.code, pinned.detail)]),
      this.#deadLettersCheck(),
      this.#clockCheck(),
    ];
  }

  #uplinkCheck(): CheckReport {
    const { state, detail, hint } = this.#drain.uplink.reported;
    if (state === 'ok') return okCheck('uplink');
    return (state === 'throttled' || state === 'key_refused' ? warning : failing)('uplink', state, detail, hint);
  }

  #queueCheck(): CheckReport {
    const { mode, reason } = this.#queue.state;
    if (reason === null) return okCheck('queue');
    return (mode === 'checking' ? warning : failing)('queue', reason.code, reason.detail);
  }

  #fileCheck(): CheckReport {
    const { damage } = this.#queue.state;
    if (damage === null) return okCheck('queue file');
    return warning('queue file', 'queue_damaged', damage.detail);
  }

  #deadLettersCheck(): CheckReport {
    const { deadLetters } = this.#queue.state;
    if (deadLetters === 0) return okCheck('dead letters');
    const detail = `${deadLetters} ${deadLetters === 1 ? 'reading was' : 'readings were'} refused`;
    return warning('dead letters', 'dead_letters', detail);
  }

  #clockCheck(): CheckReport {
    const aheadMs = this.#drain.clockAheadMs;
    let detail: string | undefined;
    if (isBeforeBuild(new Date())) detail = `this box's clock shows ${new Date().toISOString()}`;
    else if (isOffStream(aheadMs))
      detail = `this box is ${Math.abs(aheadMs)} ms ${aheadMs > 0 ? 'ahead of' : 'behind'} the stream`;
    if (detail === undefined) return okCheck('clock');
    return warning('clock', 'clock_wrong', detail);
  }
}
