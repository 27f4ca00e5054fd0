// The console: who gets in, what works without a script or a mouse, and that what is live says so by itself.

import { randomUUID } from 'node:crypto';
import type { Page } from '@playwright/test';
import { expect, expectAccessible, expectNoOverflow, operator, signIn, test, type Salvor } from './salvor';

const pages = ['/console', '/console/health', '/console/volumes/uploads', '/console/jobs', '/console/readiness', '/console/incidents', '/console/incidents/open',
  '/console/components', '/console/tickets', '/console/account', '/console/no-such-page'];

/** What the form of a quick check sends. */
const check = { 'request[volume]': 'uploads', 'request[full]': 'false', 'request[path]': '' };

test('a wrong password is said to be wrong, and the right one goes on to where one was going', async ({ page }) => {
  await page.goto('/console/jobs?from=mail');
  await expect(page).toHaveURL(/\/console\/sign-in\?/);
  await page.getByLabel('E-mail address').fill(operator.email);
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page).toHaveURL(/\/console\/sign-in/);
  await expectAccessible(page);

  await page.getByLabel('E-mail address').fill(operator.email);
  await page.getByLabel('Password').fill(operator.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page).toHaveURL(/\/console\/jobs/);
  await expect(page.getByRole('heading', { name: 'Jobs', exact: true })).toBeVisible();
});

test('nobody sees the console signed out, nor after signing out', async ({ page }) => {
  for (const path of pages.slice(0, 10)) {
    await page.goto(path);
    await expect(page, path).toHaveURL(/\/console\/sign-in/);
  }
  expect((await page.request.get('/api/v1/jobs')).status()).toBe(401);

  await signIn(page);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page).toHaveURL(/\/console\/sign-in/);
  await page.goto('/console');
  await expect(page).toHaveURL(/\/console\/sign-in/);
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('a check starts from its form, and its page tells how it went', async ({ page }) => {
    await signIn(page);
    await page.getByRole('link', { name: 'uploads', exact: true }).click();
    const check = page.locator('details', { has: page.locator('summary', { hasText: /^Check$/ }) });
    if ((await check.getAttribute('open')) === null) await check.locator('summary').click();
    await check.getByLabel('How thoroughly').selectOption('false');
    await check.getByRole('button', { name: 'Start the check' }).click();
    await expect(page).toHaveURL(/\/console\/jobs\/[0-9a-f-]+$/);
    await expect(page.getByRole('heading', { name: /check of uploads/i })).toBeVisible();
    await expect(async () => {
      await page.reload();
      await expect(page.getByText(/files checked in/)).toBeVisible({ timeout: 500 });
    }).toPass({ timeout: 20_000 });
  });

  test('a form that cannot be done comes back and says why', async ({ page }) => {
    await signIn(page);
    await page.goto('/console/incidents/open');
    await page.getByLabel('What customers notice').fill('   ');
    await page.getByLabel('First update').fill('We are looking into it.');
    await page.getByRole('button', { name: 'Open the incident' }).click();
    await expect(page.getByRole('alert')).toBeVisible();
    await expect(page).toHaveURL(/\/console\/incidents\/open/);
  });
});

test('by the keyboard alone: skip the navigation, and see where one is', async ({ page }) => {
  await signIn(page);
  await page.goto('/console/jobs');
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the page' });
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  await page.keyboard.press('Enter');
  await expect(page.locator('main')).toBeFocused();

  await page.goto('/console/volumes/uploads');
  await page.keyboard.press('Tab');
  for (let stop = 0; stop < 12; stop += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { html: element.outerHTML.slice(0, 100), visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2 };
    });
    expect(focused.visible, focused.html).toBe(true);
  }
});

test.describe('on a phone at night', () => {
  test.use({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' });

  test('every page fits, and everybody can read it', async ({ page }) => {
    test.setTimeout(120_000);
    await page.goto('/console/sign-in');
    await expectNoOverflow(page);
    await expectAccessible(page);
    await signIn(page);
    for (const path of pages) {
      await page.goto(path);
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
      await expectNoOverflow(page);
      await expectAccessible(page);
    }
  });
});

test('a viewer sees everything and can start nothing', async ({ page, salvor }) => {
  const viewer = { email: `${randomUUID()}@example.com`, password: 'staple without battery' };
  salvor.addUser(viewer, 'viewer');
  await signIn(page, viewer);
  await page.goto('/console/volumes/uploads');
  await expect(page.getByRole('heading', { name: 'uploads' })).toBeVisible();
  await expect(page.getByRole('heading', { name: 'Start a job' })).toHaveCount(0);
  await expect(page.getByText('Change the mode …')).toHaveCount(0);

  // What the page does not offer is refused to those who ask anyway.
  const started = () => salvor.jobs().length;
  const before = started();
  const answer = await page.request.post('/console/do/start_check', { form: check, headers: { origin: salvor.url } });
  expect(answer.status()).toBe(403);
  const api = await page.request.post('/api/v1/jobs', {
    data: { kind: 'check', volume: 'uploads', full: false }, headers: { origin: salvor.url },
  });
  expect(api.status()).toBe(403);
  expect(started()).toBe(before);
});

test('another site cannot use the session', async ({ page }) => {
  await signIn(page);
  const answer = await page.request.post('/console/do/start_check', {
    form: check, headers: { origin: 'https://elsewhere.example' },
  });
  expect(answer.status()).toBe(403);
});

test('a job that somebody else starts appears on the overview by itself', async ({ page, salvor }) => {
  await signIn(page);
  await expect(page.getByText('Live.').first()).toBeVisible();
  await page.evaluate(() => Object.assign(window, { untouched: true }));
  salvor.removePicture();

  // A plan waits until it is read, so that it is there for as long as this test looks for it.
  const job = await plan(page, salvor);
  const line = page.locator(`.job-lines a[href="/console/jobs/${job}"]`);
  await expect(line).toBeVisible();

  // And it goes once it is over.
  expect(salvor.run('job', 'cancel', job).code).toBe(0);
  await expect(line).toHaveCount(0);
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);
});

test('the page of a job goes on by itself', async ({ page, salvor }) => {
  await signIn(page);
  salvor.removePicture();
  await page.goto(`/console/jobs/${await plan(page, salvor)}`);
  await expect(page.getByRole('button', { name: 'Approve and start' })).toBeVisible({ timeout: 15_000 });
  await page.evaluate(() => Object.assign(window, { untouched: true }));
  const job = new URL(page.url()).pathname.split('/').pop() ?? '';
  expect(salvor.run('job', 'approve', job).code).toBe(0);
  await expect(page.getByText(/restored and verified in/)).toBeVisible({ timeout: 15_000 });
  await expect(page.getByRole('button', { name: 'Approve and start' })).toHaveCount(0);
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);
});

/** Plans a restore of all that is lost, as a program with the session would; it waits until it is approved. */
async function plan(page: Page, salvor: Salvor): Promise<string> {
  const answer = await page.request.post('/api/v1/jobs', {
    data: { kind: 'restore', volume: 'uploads', hold: true }, headers: { origin: salvor.url },
  });
  expect(answer.ok(), await answer.text()).toBe(true);
  return (await answer.json()).job;
}
