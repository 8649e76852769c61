/** The drill's verdict: compares what the straps sent with the forwarder's ledger and with the stream. */
import type { ServiceStatus } from '../../contract/service-status.ts';
import type { StreamAccount } from './account.ts';

/** Readings that the simulated straps produced. */
export interface Produced {
  run: string;
  total: number;
  /** Produced while the stream was cut. */
  whileCut: number;
  /** Produced while the forwarder was dead. */
  whileDead: number;
}

export interface Verdict {
  passed: boolean;
  lines: string[];
  /** The same as numbers. */
  facts: {
    sent: number;
    sent_while_cut: number;
    sent_while_dead: number;
    ledger: NonNullable<ServiceStatus['forwarder']>['ledger'] | null;
    in_stream: number;
    duplicates: number;
    missing: number;
  };
}

const line = (name: string, text: string | number): string => `${name.padEnd(24)}${text}`;

/**
 * Passed: at least one reading, the ledger balances, and every reading is in the stream. `ledger`: the forwarder's last one, if it
 * reported any.
 */
export function verdictOf(
  ledger: NonNullable<ServiceStatus['forwarder']>['ledger'] | undefined,
  produced: Produced,
  { runs, others, firstReason }: StreamAccount,
): Verdict {
  const account = runs.find(({ run }) => run === produced.run);
  const { present = 0, duplicates = 0 } = account ?? {};
  const missing = produced.total - present;
  const which = missing > 0 ? ` (${account?.missing.slice(0, 10).join(', ') ?? 'all'})` : '';
  const balanced = ledger !== undefined && ledger.accepted === ledger.shipped + ledger.queued + ledger.dead + ledger.evicted;
  const { total, whileCut, whileDead } = produced;
  const lines = [
    line('sent by the straps', `${total}, ${whileCut} while the stream was cut, ${whileDead} while the forwarder was dead`),
  ];
  if (ledger === undefined) lines.push(line('ledger', 'UNKNOWN: the forwarder reported no status'));
  else
    lines.push(
      line('accepted by the queue', ledger.accepted),
      line('shipped', ledger.shipped),
      line(
        'not shipped',
        `queued ${ledger.queued}, dead ${ledger.dead}, evicted ${ledger.evicted}; missed before the queue: ${ledger.missed}`,
      ),
      line('ledger', balanced ? 'balances' : 'DOES NOT BALANCE'),
    );
  lines.push(line('in the stream', `${present}, duplicates: ${duplicates}, missing: ${missing}${which}`));
  if (others > 0) lines.push(line('other records', `${others}; the first: ${firstReason}`));
  const facts = {
    sent: total,
    sent_while_cut: whileCut,
    sent_while_dead: whileDead,
    ledger: ledger ?? null,
    in_stream: present,
    duplicates,
    missing,
  };
  return { passed: balanced && total > 0 && missing === 0, lines, facts };
}
