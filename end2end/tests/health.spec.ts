// Storage health as an operator meets it: what is broken, since when, what to do next; on a desk and on a phone, by day and by night.

import type { Page } from '@playwright/test';
import { expect, expectAccessible, expectNoOverflow, signIn, test, type Salvor } from './salvor';

type Level = 'ok' | 'unknown' | 'warning' | 'critical';

test('a fault that a host reports is on the overview at once, and says what to do', async ({ page, salvor }) => {
  await report(salvor, 'ok');
  await signIn(page);
  await expect(page.getByText('Live.').first()).toBeVisible();
  await page.evaluate(() => Object.assign(window, { untouched: true }));
  await report(salvor, 'warning');
  const tile = page.locator('.tile', { has: page.getByRole('link', { name: 'uploads', exact: true }) });
  await expect(tile.getByText('Health: Warning')).toBeVisible({ timeout: 10_000 });
  await expect(tile.getByText('Next:')).toBeVisible();
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);
});

test('the tree of a host leads to a signal, which is muted with a reason and calls again', async ({ page, salvor }) => {
  await report(salvor, 'warning');
  await signIn(page);
  await page.getByRole('link', { name: 'Health', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'store1' })).toBeVisible();
  await expect(page.getByText('sda, WDC WD140EDFZ').first()).toBeVisible();
  await page.getByRole('link', { name: 'SMART' }).first().click();
  await expect(page.getByText('reallocated sectors').first()).toBeVisible();

  await page.getByLabel('Reason').fill('the new disk comes on Monday');
  await page.getByRole('combobox', { name: 'For' }).selectOption('168');
  await page.getByRole('button', { name: 'Mute' }).click();
  await expect(page.getByText('the new disk comes on Monday')).toBeVisible();
  await page.goto('/console/health');
  await expect(page.getByText('Muted', { exact: true }).first()).toBeVisible();

  await page.getByRole('link', { name: 'SMART' }).first().click();
  await page.getByRole('button', { name: 'Let it call again' }).click();
  await expect(page.getByRole('button', { name: 'Mute' })).toBeVisible();
});

test('a filter in the address keeps what is bad and what leads there', async ({ page, salvor }) => {
  await report(salvor, 'warning');
  await signIn(page);
  await page.goto('/console/health?level=warning&host=store1');
  await expect(page.getByText('sda, WDC WD140EDFZ').first()).toBeVisible();
  await expect(page.getByText('sdb', { exact: true })).toHaveCount(0);
  await page.goto('/console/health?level=critical&host=store1');
  await expect(page.getByText('Nothing here is as bad as that.')).toBeVisible();
});

test('a volume that trips says so on its open page, with its gate', async ({ page, salvor }) => {
  await signIn(page);
  await page.goto('/console/volumes/uploads');
  await expect(page.getByRole('navigation', { name: 'On this page' })).toBeVisible();
  expect(salvor.run('mode', 'uploads', 'read-only', '--reason', 'ext4 counts 1 error').code).toBe(0);
  await expect(page.getByText(/uploads is read-only since .* ext4 counts 1 error/)).toBeVisible({ timeout: 10_000 });
  await expect(page.getByRole('heading', { name: /Before it may return to normal/ })).toBeVisible();
  await expect(page.getByText('The mode has changed since this page was loaded.')).toBeVisible();
  await expect(page.getByText('Open', { exact: true }).first()).toBeVisible();
  await page.getByRole('link', { name: 'Start a full check' }).first().click();
  await expect(page.getByRole('heading', { name: 'Start a job' })).toBeInViewport();
});

for (const [width, height] of [[390, 844], [1440, 900], [320, 640]] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test.describe(`${width} wide, ${colorScheme}`, () => {
      test.use({ viewport: { width, height }, colorScheme });

      test('everybody can read it', async ({ page, salvor }) => {
        test.setTimeout(60_000);
        await report(salvor, 'critical');
        // Whether another test was first does not matter here.
        salvor.run('mode', 'uploads', 'read-only', '--reason', 'ext4 counts 1 error');
        await signIn(page);
        for (const path of ['/console', '/console/health', signal, '/console/volumes/uploads']) {
          await page.goto(path);
          await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
          await expectNoOverflow(page);
          await expectAccessible(page);
        }
      });
    });
  }
}

const signal = '/console/health/signal?host=store1&probe=smart&subject=sda';

/** What a storage host would send: a volume on an array of two disks, of which one is as bad as that. */
async function report(salvor: Salvor, level: Level): Promise<void> {
  const at = new Date().toISOString();
  const node = (id: string, kind: string, label: string, on: string[]) => ({ id, kind, label, on });
  const reading = (probe: string, subject: string, how: Level, reason: string, facts: Record<string, unknown>) => (
    { probe, subject, level: how, reason, facts, stops_writes: false }
  );
  const answer = await fetch(`${salvor.url}/api/v1/agent/report`, {
    method: 'POST',
    headers: { authorization: `Bearer ${salvor.token('store1', 'agent')}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      host: 'store1',
      version: '0.1.0',
      taken_at: at,
      nodes: [
        node('volume:uploads', 'volume', 'uploads', ['fs:/srv/uploads']),
        node('fs:/srv/uploads', 'filesystem', '/srv/uploads (ext4)', ['md0']),
        node('md0', 'array', 'md0 (raid1)', ['sda', 'sdb']),
        node('sda', 'disk', 'sda, WDC WD140EDFZ', []),
        node('sdb', 'disk', 'sdb', []),
      ],
      readings: [
        reading('ext4', 'fs:/srv/uploads', 'ok', 'ext4 counts no errors', { errors_count: 0 }),
        reading('space', 'fs:/srv/uploads', 'ok', '71 % used', { used_percent: 71 }),
        reading('md', 'md0', 'ok', 'both disks are in it', { level: 'raid1', failed: 0 }),
        reading('smart', 'sda', level, level === 'ok' ? 'the disk says that it is well' : '24 reallocated sectors: have a new disk ready', { reallocated: 24, temp_c: 41 }),
      ],
    }),
  });
  expect(answer.ok, `${answer.status} ${await answer.text()}`).toBe(true);
}
