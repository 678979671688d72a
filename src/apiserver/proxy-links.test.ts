import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { isPage, LinkRewriter, rewriteLinks } from './proxy-links.ts';

const target = { scheme: 'http' as const, host: '10.0.0.7', port: 80 };
const base = '/api/v1/namespaces/n/pods/p/proxy';

test('links to paths of the target lead through the proxy, others stay', () => {
  const table: [page: string, expected: string][] = [
    ['<a href="/rewriteme">test</a>', `<a href="${base}/rewriteme">test</a>`],
    ["<img alt='x' src='/a.png?x=1#y'/>", `<img alt='x' src='${base}/a.png?x=1#y'/>`],
    ['<form method=post action=/go>', `<form method=post action=${base}/go>`],
    ['<a href="http://10.0.0.7/own">', `<a href="${base}/own">`],
    ['<a href="near">', '<a href="near">'],
    ['<a href="#here">', '<a href="#here">'],
    ['<a href="//elsewhere/x">', '<a href="//elsewhere/x">'],
    ['<a href="https://example.com/x">', '<a href="https://example.com/x">'],
    ['<a title="/no" data-href="/no">href="/no"</a>', '<a title="/no" data-href="/no">href="/no"</a>'],
  ];
  for (const [page, expected] of table) assert.equal(rewriteLinks(page, target, base), expected);
});

test('a page in pieces, cut anywhere, and bytes that are no text', async () => {
  const page = Buffer.from('<p>\u00e9 <a\nhref="/one">1 < 2</a><img src="/two">', 'utf8');
  const expected = rewriteLinks(page.toString('latin1'), target, base);
  for (let cut = 0; cut <= page.length; cut++) {
    const rewriter = Readable.from([page.subarray(0, cut), page.subarray(cut)]).pipe(new LinkRewriter(target, base));
    assert.equal(Buffer.from(await text(rewriter)).toString('latin1'), expected, `cut at ${cut}`);
  }
});

test('pages are told by their type', () => {
  for (const type of ['text/html', 'text/html; charset=utf-8', 'TEXT/HTML']) assert.ok(isPage(type), type);
  for (const type of ['text/htmlx', 'text/plain', 'application/json', undefined]) assert.ok(!isPage(type), String(type));
});
