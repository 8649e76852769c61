/** Files around the code (links in documents, hosted CI, Node versions) agree with each other. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { REMOVED_SETTINGS } from '../../service/config/removed-settings.ts';
import { filesBelow, foldersBelow, readSource } from '../support/source-tree.ts';

const files = filesBelow('.');
const places = new Set([...files, ...foldersBelow('.'), '.']);
const documents = files.filter((file) => file.endsWith('.md'));

/** The text without code blocks and code spans: what looks like a link or heading there is none. */
const proseOf = (document: string): string =>
  readSource(document)
    .replaceAll(/```[\s\S]*?```/g, '')
    .replaceAll(/`[^`\n]*`/g, '``');

/** The anchors that GitHub gives the headings of a document. */
function anchorsOf(document: string): Set<string> {
  const text = readSource(document).replaceAll(/```[\s\S]*?```/g, '');
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    let anchor = plain;
    for (let copy = 1; anchors.has(anchor); copy += 1) anchor = `${plain}-${copy}`;
    anchors.add(anchor);
  }
  return anchors;
}

test('every relative link in a Markdown document leads to a file, and its anchor to a heading', () => {
  const broken: string[] = [];
  let links = 0;
  for (const document of documents)
    for (const [, link = ''] of proseOf(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      links += 1;
      const [target = '', anchor] = link.split('#');
      const file = target === '' ? document : path.posix.join(path.posix.dirname(document), target).replace(/\/$/, '');
      const found = places.has(file) && (anchor === undefined || (file.endsWith('.md') && anchorsOf(file).has(anchor)));
      if (!found) broken.push(`${document}: ${link}`);
    }
  assert.deepEqual(broken, []);
  assert.ok(links >= 40, `only ${links} links found`);
});

test('every document in docs/ is linked from another document', () => {
  const linked = new Set(
    documents.flatMap((document) =>
      [...proseOf(document).matchAll(/\]\(([^)#\s]+)/g)].map(([, link = '']) =>
        path.posix.join(path.posix.dirname(document), link),
      ),
    ),
  );
  assert.deepEqual(
    documents.filter((document) => document.startsWith('docs/') && !linked.has(document)),
    [],
  );
});

test('hosted CI runs every part of .ci/run, and names no other', () => {
  const parts = /readonly ALL_PARTS="([^"]+)"/.exec(readSource('.ci/run'))?.[1]?.split(' ') ?? [];
  const workflow = readSource('.github/workflows/ci.yml');
  const named = [...workflow.matchAll(/parts: ([\w ]+) }|\.ci\/run ([\w ]+)$/gm)].flatMap(([, matrix, run]) =>
    (matrix ?? run ?? '').trim().split(' '),
  );
  assert.deepEqual(new Set(named), new Set(parts));
});

test('.ci/run refuses a part that it does not know', () => {
  const { status, stdout } = spawnSync('.ci/run', ['instal'], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stdout, /unknown part: instal/);
});

test('.nvmrc, the image and the documents name the same Node version', () => {
  const version = readSource('.nvmrc').trim();
  assert.match(version, /^\d+$/);
  for (const line of readSource('Dockerfile')
    .split('\n')
    .filter((text) => text.startsWith('FROM node:')))
    assert.ok(line.startsWith(`FROM node:${version}-`), line);
  for (const document of ['README.md', 'CONTRIBUTING.md'])
    assert.match(readSource(document), new RegExp(`Node ${version}(?: is)? recommended`), document);
});

test('CHANGELOG.md names every removed setting', () => {
  const changelog = readSource('CHANGELOG.md');
  assert.deepEqual(
    Object.keys(REMOVED_SETTINGS).filter((name) => !changelog.includes(`\`${name}\``)),
    [],
  );
});
