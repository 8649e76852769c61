/**
 * The watch: called every minute, it counts the gateways of which the stream has stored no account record for too long. An alarm of the
 * template watches the count, and also that there is one: before the first gateway was seen there is none. The log names the gateways.
 */
import { functionSettings } from './function-settings.ts';
import { metricLine, print } from './gateway-metrics.ts';
import { LastSeenTable } from './last-seen.ts';

/** So many silent gateways are named in one line. */
const NAMED_MAX = 500;

let table: LastSeenTable | undefined;

/** Scheduled by the template. Throws if its settings are missing, and the errors of DynamoDB. */
export async function watch(): Promise<{ gateways: number; silent: string[] }> {
  const { lastSeen, stream } = functionSettings();
  if (lastSeen === undefined) throw new Error('LAST_SEEN_TABLE is not set');
  const { silenceMs } = lastSeen;
  table ??= new LastSeenTable(lastSeen);
  const nowMs = Date.now();
  const all = await table.all();
  if (all.length === 0) {
    console.log(JSON.stringify({ event: 'no_gateway_seen', hint: 'Set KINESIS_ACCOUNTS=records on the gateways.' }));
    return { gateways: 0, silent: [] };
  }
  const silent = all.filter(({ lastSeenMs }) => nowMs - lastSeenMs > silenceMs).sort((a, b) => b.lastSeenMs - a.lastSeenMs);
  print(
    metricLine(
      { StreamName: stream },
      [['StreamName']],
      [
        { name: 'SilentGateways', unit: 'Count', value: silent.length },
        { name: 'Gateways', unit: 'Count', value: all.length },
      ],
      nowMs,
    ),
  );
  if (silent.length > 0)
    console.log(
      JSON.stringify({
        event: 'gateways_silent',
        count: silent.length,
        // The latest first: they are the news.
        gateways: silent.slice(0, NAMED_MAX).map(({ gateway, lastSeenMs }) => ({
          gateway,
          last_seen: new Date(lastSeenMs).toISOString(),
        })),
      }),
    );
  return { gateways: all.length, silent: silent.map(({ gateway }) => gateway) };
}
