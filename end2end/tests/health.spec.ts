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

test('what must not wait is on every page, comes without a jump, and goes', async ({ page, salvor }) => {
  backToNormal(salvor);
  await signIn(page);
  await page.goto('/console/jobs');
  const strip = page.getByRole('complementary', { name: 'What must not wait' });
  await expect(strip.getByText('uploads is read-only')).toHaveCount(0);
  const heading = page.getByRole('heading', { level: 1 });
  const place = await heading.boundingBox();
  trip(salvor);
  await expect(strip.getByText(/uploads is read-only since .* ext4 counts 1 error/)).toBeVisible({ timeout: 10_000 });
  await expect(strip.getByText('Next:')).toBeInViewport();
  await expect(strip.getByRole('link', { name: /publish or discard/ })).toBeVisible();
  expect(await heading.boundingBox()).toEqual(place);

  // Before the page itself, for whoever uses a keyboard.
  await page.getByRole('button', { name: 'Sign out' }).focus();
  await page.keyboard.press('Tab');
  await expect(strip.getByRole('link').first()).toBeFocused();

  for (const path of ['/console/tickets', '/console/incidents', '/console/health', '/console/readiness', '/console/account', '/console/webhooks']) {
    await page.goto(path);
    await expect(strip.getByText('uploads is read-only')).toBeVisible();
  }
  // These say it themselves.
  for (const path of ['/console', '/console/volumes/uploads']) {
    await page.goto(path);
    await expect(page.getByText('uploads is read-only since')).toHaveCount(1);
  }
  await page.goto('/console/jobs');
  backToNormal(salvor);
  await expect(strip.getByText('uploads is read-only')).toHaveCount(0, { timeout: 10_000 });
});

test('it is there without a script, too', async ({ browser, salvor }) => {
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL: salvor.url });
  const page = await context.newPage();
  trip(salvor);
  await signIn(page);
  await page.goto('/console/tickets');
  await expect(page.getByRole('complementary', { name: 'What must not wait' }).getByText('Next:')).toBeVisible();
  await context.close();
});

test('an open page of the hosts follows what they report, and leaves folded what was folded', async ({ page, salvor }) => {
  await report(salvor, 'ok');
  await signIn(page);
  await page.goto('/console/health?host=store1');
  await expect(page.getByText('Live.')).toBeVisible();
  const array = page.locator('#store1--md0 > details');
  // Of sdb nothing is known, so that it stands open.
  await expect(array).toHaveAttribute('open');
  await array.locator(':scope > summary').click();
  await expect(array).not.toHaveAttribute('open');
  await report(salvor, 'critical');
  await expect(array.locator(':scope > summary').getByText('Critical')).toBeVisible();
  await expect(array).not.toHaveAttribute('open');
  await expect(array.locator(':scope > summary')).toBeFocused();
});

test('a host that only alerts name is among the hosts', async ({ page, salvor }) => {
  const labels = { alertname: 'DiskFull', instance: 'store9:9100', severity: 'critical' };
  const alert = { status: 'firing', labels, annotations: { summary: 'the disk is full' }, startsAt: '2026-11-22T20:34:15Z', fingerprint: 'f1' };
  const answer = await fetch(`${salvor.url}/api/v1/hooks/alertmanager`, {
    method: 'POST',
    headers: { authorization: `Bearer ${salvor.token('alertmanager', 'agent')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', status: 'firing', alerts: [alert] }),
  });
  expect(answer.ok, `${answer.status} ${await answer.text()}`).toBe(true);
  await signIn(page);
  await page.goto('/console/health?host=store9');
  const host = page.getByRole('region', { name: /store9/ });
  await expect(host.getByText('Alerts only, no agent')).toBeVisible();
  await expect(host.getByText(/The alert DiskFull fires: the disk is full/).last()).toBeVisible();
  await expectAccessible(page);
});

test('what was read is told with its units, and lists as lists', async ({ page, salvor }) => {
  await report(salvor, 'warning');
  await signIn(page);
  await page.goto(signal);
  const read = page.getByRole('region', { name: 'What was read' });
  await expect(read.getByText('41 °C')).toBeVisible();
  await page.goto('/console/health/signal?host=store1&probe=sentinel&subject=volume%3Auploads');
  await expect(page.getByText('2 of 1,000 sampled files are missing').first()).toBeVisible();
  await expect(read.getByRole('listitem')).toHaveText(['site-1/a b.jpg', 'site-2/c.jpg']);
  await expect(read.getByText('0.2 %')).toBeVisible();
  await expectAccessible(page);
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
        for (const path of ['/console', '/console/health', signal, '/console/volumes/uploads', '/console/jobs', '/console/account', '/console/webhooks']) {
          await page.goto(path);
          await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
          await expectNoOverflow(page);
          await expectAccessible(page);
        }
      });
    });
  }
}

/** As a rule would do it. */
function trip(salvor: Salvor): void {
  salvor.run('mode', 'uploads', 'read-only', '--reason', 'ext4 counts 1 error');
}

/** Whatever another test left. */
function backToNormal(salvor: Salvor): void {
  salvor.run('mode', 'uploads', 'read-only', '--reason', 'back from its check');
  salvor.run('mode', 'uploads', 'normal', '--override', '--reason', 'the test needs it');
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
        reading('sentinel', 'volume:uploads', 'ok', '2 of 1,000 sampled files are missing', { sampled: 1000, share: 0.002, examples: ['site-1/a b.jpg', 'site-2/c.jpg'] }),
        reading('smart', 'sda', level, level === 'ok' ? 'the disk says that it is well' : '24 reallocated sectors: have a new disk ready', { reallocated: 24, temp_c: 41 }),
      ],
    }),
  });
  expect(answer.ok, `${answer.status} ${await answer.text()}`).toBe(true);
}
