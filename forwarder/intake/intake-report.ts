/** What the intake reports to health about those that send to it. */
import { failing, okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';

/** A sighting keeps its check failing for this long: bridges and forwarders announce themselves again within 40 s. */
const SHOWN_MS = 120_000;
/** Readings that are put back without a pause fail the check after this. */
const PUT_BACK_MS = 10_000;
const PUT_BACK_PAUSE_MS = 3000;
/** A gateway that begins too many runs is named for this long after the last one. */
const RUNS_MS = 10_000;

export class IntakeReport {
  #version1AtMs = Number.NEGATIVE_INFINITY;
  #otherAtMs = Number.NEGATIVE_INFINITY;
  #other = '';
  #missedAtMs = Number.NEGATIVE_INFINITY;
  #missed = '';
  #putBackSinceMs = 0;
  #putBackAtMs = Number.NEGATIVE_INFINITY;
  #putBackBy = '';
  #runsAtMs = Number.NEGATIVE_INFINITY;
  #runsOf = '';

  bridgeOfVersion1(nowMs: number): void {
    this.#version1AtMs = nowMs;
  }

  otherForwarder(queue: string, nowMs: number): void {
    this.#other = queue;
    this.#otherAtMs = nowMs;
  }

  /** Seqs were recorded as missed although no queue file was replaced. */
  missed(gateway: string, cause: string, nowMs: number): void {
    this.#missed = `readings of ${gateway} (${cause})`;
    this.#missedAtMs = nowMs;
  }

  putBack(gateway: string, nowMs: number): void {
    if (nowMs - this.#putBackAtMs > PUT_BACK_PAUSE_MS) this.#putBackSinceMs = nowMs;
    this.#putBackAtMs = nowMs;
    this.#putBackBy = gateway;
  }

  /** A run was not taken, because its gateway begins too many. */
  tooManyRuns(gateway: string, nowMs: number): void {
    this.#runsOf = gateway;
    this.#runsAtMs = nowMs;
  }

  checks(nowMs: number): CheckReport[] {
    const isOther = nowMs - this.#otherAtMs < SHOWN_MS;
    const isVersion1 = nowMs - this.#version1AtMs < SHOWN_MS;
    const isMissed = nowMs - this.#missedAtMs < SHOWN_MS;
    const isPutBack = nowMs - this.#putBackAtMs < PUT_BACK_PAUSE_MS && this.#putBackAtMs - this.#putBackSinceMs > PUT_BACK_MS;
    return [
      isOther
        ? failing('other forwarders', 'second_forwarder', `queue ${this.#other} takes readings of the same gateways`)
        : okCheck('other forwarders'),
      isVersion1
        ? failing('bridge version', 'bridge_of_version_1', 'a bridge of version 1 offers its readings, and keeps them')
        : okCheck('bridge version'),
      isMissed
        ? failing('missed readings', 'readings_missed', `${this.#missed} were lost before they were accepted`)
        : okCheck('missed readings'),
      isPutBack
        ? failing('put back', 'put_back', `readings of ${this.#putBackBy} are put back without end`)
        : okCheck('put back'),
      nowMs - this.#runsAtMs < RUNS_MS
        ? warning(
            'runs',
            'too_many_runs',
            `the bridge of gateway ${this.#runsOf} begins too many runs; its new ones have to wait`,
          )
        : okCheck('runs'),
    ];
  }
}
