import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeadLetter } from '../../../contract/dead-letter.ts';
import { requestTopic } from '../../../contract/topics.ts';
import { CommandClient } from '../../../service/mqtt/command-client.ts';
import { CommandServer } from '../../../service/mqtt/command-server.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { topicMatches, type MessageHandler } from '../../../service/mqtt/subscription-routes.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** Server and client joined by an in-memory connection that delivers in the next tick; `cut` makes publishing fail. */
function joined(handlers: ConstructorParameters<typeof CommandServer>[0]['handlers']) {
  const config = testConfig({});
  const log = testLog(config);
  const line = { cut: false, largest: 0, loses: (_message: number): boolean => false };
  let messages = 0;
  const subscriptions: Record<string, MessageHandler> = {};
  const publish = (topic: string, payload: string): boolean => {
    if (line.cut) return false;
    line.largest = Math.max(line.largest, Buffer.byteLength(payload));
    messages += 1;
    if (line.loses(messages)) return true;
    setImmediate(() => {
      for (const [filter, handler] of Object.entries(subscriptions))
        if (topicMatches(filter, topic)) handler(topic, Buffer.from(payload), false);
    });
    return true;
  };
  const server = new CommandServer({ service: 'forwarder', gateway: () => 'test-box', log, handlers, publish });
  const client = new CommandClient({ gateway: () => 'test-box', publish });
  Object.assign(subscriptions, server.subscriptions, client.subscriptions);
  return { client, line, log, publish };
}
const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof HrError) return error.code;
    throw error;
  }
  return 'none';
};

test('each request gets its own result; a refusal has its code and hint', async () => {
  const { client } = joined({
    'retry-dead-letters': async ({ ids }) => ({ retried: ids?.length ?? 0, left: 0 }),
    backup: async () => {
      throw new HrError('data_dir_unusable', { operation: 'backup', detail: 'no room', hint: 'make room' });
    },
    'discard-dead-letters': async () => {
      throw new Error('a bug');
    },
  });
  const results = await Promise.all(
    [1, 2, 3].map((n) => client.request('forwarder', 'retry-dead-letters', { ids: Array.from({ length: n }, (_, i) => i + 1) })),
  );
  assert.deepEqual(
    results,
    [1, 2, 3].map((retried) => ({ retried, left: 0 })),
  );
  await assert.rejects(
    client.request('forwarder', 'backup', {}),
    (error) =>
      error instanceof HrError && error.code === 'data_dir_unusable' && error.hint === 'make room' && error.detail === 'no room',
  );
  assert.equal(await codeOf(client.request('forwarder', 'discard-dead-letters', { all: true })), 'command_failed');
});

test('arguments that the table does not allow are refused before the handler is called; an unknown verb is named', async () => {
  let calls = 0;
  const { client } = joined({ 'retry-dead-letters': async () => ({ retried: (calls += 1), left: 0 }) });
  assert.equal(await codeOf(client.request('forwarder', 'retry-dead-letters', { ids: [] })), 'command_invalid');
  assert.equal(await codeOf(client.request('forwarder', 'retry-dead-letters', { bad: 1 } as never)), 'command_invalid');
  assert.equal(calls, 0);
  assert.equal(await codeOf(client.request('forwarder', 'scan-now', {})), 'command_unknown');
  assert.equal(await codeOf(client.request('forwarder', 'toString' as 'scan-now', {})), 'command_unknown');
});

test('no response: command_timeout; no connection: not_connected; invalid messages are ignored; the level changes', async () => {
  const { client, line, log, publish } = joined({ backup: async () => await new Promise(() => {}) });
  assert.equal(await codeOf(client.request('forwarder', 'backup', {}, { timeoutMs: 50 })), 'command_timeout');
  publish(requestTopic('test-box', 'forwarder', 'backup'), 'rubbish');
  assert.deepEqual(await client.request('forwarder', 'set-log-level', { level: 'error' }), { level: 'error' });
  assert.equal(log.level, 'error');
  line.cut = true;
  assert.equal(await codeOf(client.request('forwarder', 'backup', {})), 'not_connected');
});

const letter = (id: number): DeadLetter => ({
  id,
  at: '2026-11-30T08:00:00.000Z',
  reason: 'payload_not_json',
  detail: 'ß',
  device: 'Läufer \u{1f600}',
  gateway: 'test-box',
  run: null,
  seq: null,
  publisher: 'app',
  bytes: 900,
  payload: '"\\\u0000\u{1f3c3}'.repeat(100),
  whole: true,
});

test('a large answer arrives whole, in messages that every broker takes', async () => {
  const list = { total: 500, dead_letters: Array.from({ length: 200 }, (_, index) => letter(index + 1)), next_before: 200 };
  const { client, line } = joined({ 'list-dead-letters': async () => list, backup: async () => ({ file: 'a', bytes: 1 }) });
  const [answer, other] = await Promise.all([
    client.request('forwarder', 'list-dead-letters', {}),
    client.request('forwarder', 'backup', {}),
  ]);
  assert.deepEqual(answer, list);
  assert.equal(other.bytes, 1);
  assert.ok(line.largest < 2500, `${line.largest} bytes`);
});

test('an answer of which a part is lost is no answer', async () => {
  const list = { total: 10, dead_letters: Array.from({ length: 10 }, (_, index) => letter(index + 1)), next_before: null };
  const { client, line } = joined({ 'list-dead-letters': async () => list });
  // The first message is the request.
  line.loses = (message) => message === 3;
  assert.equal(await codeOf(client.request('forwarder', 'list-dead-letters', {}, { timeoutMs: 200 })), 'command_timeout');
});
