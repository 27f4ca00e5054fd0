// The worst day, from the break to the answer, as an operator, a visitor and a customer live it.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { expect, expectAccessible, signIn, test } from './salvor';

test('from the break to the answer', async ({ page, salvor, browser }) => {
  test.setTimeout(180_000);

  // Break: the file system forgets where files are.
  salvor.break();
  await signIn(page);
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await expectAccessible(page);

  // The damage is stopped before anything else, by the sentinel: nobody has to be there.
  await page.getByRole('link', { name: 'uploads', exact: true }).click();
  await expect(async () => {
    await page.reload();
    await expect(page.getByText('Read-only').first()).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 30_000 });
  await expectAccessible(page);

  // Customers are told.
  await page.getByRole('link', { name: 'Incidents' }).click();
  await page.getByRole('link', { name: /open an incident/i }).first().click();
  await page.getByLabel('What customers notice').fill('Some uploaded files are missing');
  await page.getByLabel('First update').fill('We are looking into missing images. Your sites stay online.');
  await page.getByLabel('Show the progress of restores of').selectOption('uploads');
  await page.getByRole('combobox', { name: 'Uploaded files' }).selectOption('partial_outage');
  await page.getByRole('button', { name: 'Open the incident' }).click();
  await expect(page.getByRole('heading', { name: 'Some uploaded files are missing' })).toBeVisible();
  await expectAccessible(page);

  const visitor = await (await browser.newContext({ baseURL: salvor.url })).newPage();
  await expect(async () => {
    await visitor.goto('/');
    await expect(visitor.getByText('We are looking into missing images.')).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 10_000 });
  await expectAccessible(visitor);

  // Check: every byte is read, and what is lost has a name.
  await page.goto('/console/volumes/uploads');
  await unfold(page, 'Check');
  await page.getByRole('button', { name: 'Start the check' }).click();
  await expect(page.getByText(/finished/i).first()).toBeVisible({ timeout: 60_000 });
  await page.goto('/console/volumes/uploads');
  await expect(page.getByRole('heading', { name: /findings/i })).toBeVisible();
  await expect(page.getByRole('cell', { name: /missing/i }).first()).toBeVisible();
  await expectAccessible(page);

  // A customer reports a lost file, by the address that a visitor of the site would see.
  const lost = lostFile(salvor.folder);
  const customer = await (await browser.newContext({ baseURL: salvor.url, javaScriptEnabled: false })).newPage();
  await customer.goto('/report');
  await customer.getByLabel('Your e-mail address').fill('rose@example.com');
  await customer.getByLabel('What is missing?').fill(lost.url);
  await customer.getByRole('button', { name: 'Send report' }).click();
  await expect(customer).toHaveURL(/\/tickets\/[0-9a-f]+/);

  // Plan, read, approve, watch it live. The page is never reloaded.
  await unfold(page, 'Restore');
  await page.getByRole('button', { name: 'Plan a restore' }).click();
  await expect(page.getByRole('button', { name: 'Approve and start' })).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole('heading', { name: 'Plan' })).toBeVisible();
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Approve and start' }).click();
  await expect(page.getByText(/finished/i).first()).toBeVisible({ timeout: 60_000 });
  await expectAccessible(page);

  // Everything is back, byte for byte.
  expect(existsSync(join(salvor.folder, 'volume', lost.path))).toBe(true);
  expect(salvor.run('check', 'uploads', '--full', '--json').stdout).toContain('"missing":0');

  // The customer's ticket answered itself, and only now.
  await expect(async () => {
    await customer.reload();
    await expect(customer.getByRole('button', { name: /It is back/ })).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 30_000 });
  await customer.getByRole('button', { name: /It is back/ }).click();
  await expect(customer.getByText('Back, confirmed by you').first()).toBeVisible();

  // The operator sees the ticket closed, and resolves the incident.
  const number = await customer.locator('.facts dd').first().innerText();
  await page.goto(`/console/tickets/${number}`);
  await expect(page.getByText(/closed/i).first()).toBeVisible();
  await expectAccessible(page);
  await page.getByRole('link', { name: 'Incidents' }).click();
  await page.getByRole('link', { name: 'Some uploaded files are missing' }).click();
  await page.getByRole('combobox', { name: 'Status' }).selectOption('resolved');
  await page.getByLabel('Message').fill('All files are back and verified.');
  await page.getByRole('button', { name: 'Post the update' }).click();
  await expect(page.getByText('All files are back and verified.')).toBeVisible();
  await expect(async () => {
    await visitor.goto('/');
    await expect(visitor.getByText('All Systems Operational')).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 10_000 });

  // The gate is open: the volume returns to normal.
  await page.goto('/console/volumes/uploads');
  await page.getByText('Change the mode …').click();
  await page.getByLabel('New mode').selectOption('normal');
  await page.getByLabel('Reason').fill('a full check found nothing missing');
  await page.getByRole('button', { name: 'Change the mode' }).click();
  await expect(page.getByText('Normal').first()).toBeVisible();
});

/** Opens a part of the page that is folded away, if it is. */
async function unfold(page: Page, title: string): Promise<void> {
  const part = page.locator('details', { has: page.locator('summary', { hasText: new RegExp(`^${title}$`) }) });
  if ((await part.getAttribute('open')) === null) await part.locator('summary').click();
}

/** A file that the outage took from its place, and the address under which a site would show it. */
function lostFile(folder: string): { path: string; url: string } {
  const [copy, volume] = [join(folder, 'copies', 'offsite'), join(folder, 'volume')];
  const names = readdirSync(copy, { recursive: true, encoding: 'utf8' }).sort();
  const path = names.find((name) => /^[a-z-]+\/[\w/-]+\.jpg$/.test(name) && !existsSync(join(volume, name)));
  if (!path) throw new Error('the outage took no picture');
  const [site, ...rest] = path.split('/');
  return { path, url: `https://${site}.example.com/files/${rest.join('/')}` };
}
