// What visitors and customers see: the status page, its API, the report of missing files and the ticket behind its secret.
// Customers may be on a phone, at night, with scripts off.

import type { APIRequestContext, Page } from '@playwright/test';
import { expect, expectAccessible, expectNoOverflow, test, type Salvor } from './salvor';

test.describe('on a phone at night', () => {
  test.use({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' });

  test('every page fits, and everybody can read it', async ({ page, salvor }) => {
    test.setTimeout(90_000);
    const incident = open(salvor, 'Some pictures do not load');
    const ticket = await report(page.request, salvor, 'https://nowhere.example.com/a-very-long-name-of-a-picture-that-nobody-has-ever-seen.jpg');
    for (const path of ['/', '/history', `/incidents/${incident}`, '/report', ticket, '/no-such-page']) {
      await page.goto(path);
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
      await expectNoOverflow(page);
      await expectAccessible(page);
    }
    resolve(salvor, incident);
  });
});

test('by the keyboard alone: skip the navigation, and see where one is', async ({ page }) => {
  await page.goto('/report');
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the content' });
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  const email = page.getByLabel('Your e-mail address');
  await expect(email).toBeFocused();
  expect(await email.evaluate((element) => getComputedStyle(element).outlineStyle)).not.toBe('none');
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('the status page says what is wrong, and what is over', async ({ page, salvor }) => {
    const incident = open(salvor, 'Uploads are slow today');
    await page.goto('/');
    await reloadUntil(page, 'Uploads are slow today');
    await expect(page.getByText('We are looking into it.').first()).toBeVisible();
    await page.getByRole('link', { name: 'Uploads are slow today' }).click();
    await expect(page).toHaveURL(`/incidents/${incident}`);
    await expect(page.getByRole('heading', { name: 'Uploads are slow today' })).toBeVisible();

    resolve(salvor, incident);
    await reloadUntil(page, 'It is over.');
    await page.goto('/history');
    await reloadUntil(page, 'Uploads are slow today');
  });

  test('a report with errors comes back with nothing lost', async ({ page }) => {
    await page.goto('/report');
    await page.getByLabel('Your e-mail address').fill('rose at example');
    await page.getByLabel('Your site').fill('rose.example.com');
    await page.getByLabel('What is missing?').fill('first.jpg\n<second> & "third".jpg');
    await page.getByLabel('Anything else?').fill('\nSince Monday.');
    await page.getByRole('button', { name: 'Send report' }).click();

    const alert = page.getByRole('alert');
    await expect(alert).toContainText('The report was not sent yet');
    await expect(page.getByLabel('Your e-mail address')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel('Your e-mail address')).toHaveValue('rose at example');
    await expect(page.getByLabel('Your site')).toHaveValue('rose.example.com');
    await expect(page.getByLabel('What is missing?')).toHaveValue('first.jpg\n<second> & "third".jpg');
    await expect(page.getByLabel('Anything else?')).toHaveValue(/Since Monday\.$/);

    // The message leads to its field.
    await alert.getByRole('link').first().click();
    await expect(page).toHaveURL(/#email$/);
    await page.getByLabel('Your e-mail address').fill('rose@example.com');
    await page.getByRole('button', { name: 'Send report' }).click();
    await expect(page).toHaveURL(/\/tickets\/[0-9a-f]{64}$/);
    await expect(page.getByText('<second> & "third".jpg')).toBeVisible();
  });

  test('an empty report is not sent', async ({ page }) => {
    await page.goto('/report');
    await page.getByRole('button', { name: 'Send report' }).click();
    await expect(page.getByRole('alert')).toContainText('The report was not sent yet');
    await expectAccessibleWithoutScripts(page);
  });

  test('a customer adds a note to a ticket', async ({ page, salvor }) => {
    await page.goto(await report(page.request, salvor, 'gone.jpg'));
    await page.getByText('Add a note').click();
    await page.getByLabel('What should we know?').fill('It was the picture on the front page.');
    await page.getByRole('button', { name: 'Send note' }).click();
    await expect(page.getByText('It was the picture on the front page.')).toBeVisible();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('A person is looking into it');
  });
});

test('a wrong secret opens no ticket, and says nothing about which there are', async ({ page, salvor }) => {
  const ticket = await report(page.request, salvor, 'gone.jpg');
  const wrong = ticket.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  const answers = [];
  for (const path of [wrong, '/tickets/1', `/tickets/${'0'.repeat(64)}`]) {
    const answer = await page.goto(path);
    expect(answer?.status(), path).toBe(404);
    answers.push(await page.locator('main').innerText());
  }
  expect(new Set(answers).size).toBe(1);
  expect((await page.goto(ticket))?.status()).toBe(200);
  // Nobody's browser, proxy or search engine keeps or passes on the address.
  const { headers } = await headersOf(page.request, ticket);
  expect(headers['cache-control']).toContain('no-store');
  expect(headers['referrer-policy']).toBe('no-referrer');
  await expect(page.locator('meta[name="robots"]')).toHaveAttribute('content', /noindex/);
});

test('the status API speaks to other sites, in the fields that status pages have', async ({ request, salvor }) => {
  const incident = open(salvor, 'Sounds do not play');
  await expect(async () => {
    const { incidents } = await (await request.get('/api/v2/summary.json')).json();
    expect(incidents.map(({ id }: { id: string }) => id)).toContain(incident);
  }).toPass({ timeout: 10_000 });

  const answer = await request.get('/api/v2/summary.json', { headers: { origin: 'https://elsewhere.example' } });
  expect(answer.status()).toBe(200);
  expect(answer.headers()['content-type']).toContain('application/json');
  expect(answer.headers()['access-control-allow-origin']).toBe('*');
  const summary = await answer.json();
  expect(Object.keys(summary).sort()).toEqual(['components', 'incidents', 'page', 'scheduled_maintenances', 'status']);
  expect(Object.keys(summary.page)).toEqual(expect.arrayContaining(['id', 'name', 'url', 'time_zone', 'updated_at']));
  expect(summary.status).toEqual({ indicator: expect.any(String), description: expect.any(String) });
  expect(summary.components.map(({ name }: { name: string }) => name)).toContain('Uploaded files');
  expect(summary.components[0]).toMatchObject({ id: expect.any(String), status: expect.any(String), group: expect.any(Boolean) });
  const shown = summary.incidents.find(({ id }: { id: string }) => id === incident);
  expect(shown).toMatchObject({
    name: 'Sounds do not play', status: 'investigating', impact: expect.any(String), resolved_at: null,
    incident_updates: [{ status: 'investigating', body: 'We are looking into it.' }],
  });
  resolve(salvor, incident);
});

test('an open page renews itself', async ({ page, salvor }) => {
  await page.goto('/');
  await page.evaluate(() => Object.assign(window, { untouched: true }));
  const incident = open(salvor, 'Documents open slowly');
  await expect(page.getByRole('link', { name: 'Documents open slowly' })).toBeVisible({ timeout: 25_000 });
  expect(await page.evaluate(() => 'untouched' in window)).toBe(true);
  resolve(salvor, incident);
});

/** Browsers keep public pages for some seconds; a reload asks anew, as people do. */
async function reloadUntil(page: Page, text: string): Promise<void> {
  await expect(async () => {
    await page.reload();
    await expect(page.getByText(text).first()).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 15_000 });
}

/** Opens an incident and returns its id. */
function open(salvor: Salvor, name: string): string {
  const { code, stdout } = salvor.run('incident', 'open', name, '--body', 'We are looking into it.', '--json');
  expect(code, stdout).toBe(0);
  return JSON.parse(stdout).id;
}

function resolve(salvor: Salvor, incident: string): void {
  const { code, stdout } = salvor.run('incident', 'resolve', incident, '--body', 'It is over.');
  expect(code, stdout).toBe(0);
}

/** Sends a report as the form does, and returns the path of its ticket. */
async function report(request: APIRequestContext, salvor: Salvor, lines: string): Promise<string> {
  const answer = await request.post('/report', {
    form: { email: 'rose@example.com', site: '', lines, note: '', website: '' }, headers: { origin: salvor.url },
  });
  const path = new URL(answer.url()).pathname;
  expect(path).toMatch(/^\/tickets\/[0-9a-f]{64}$/);
  return path;
}

async function headersOf(request: APIRequestContext, path: string): Promise<{ headers: Record<string, string> }> {
  return { headers: (await request.get(path)).headers() };
}

/** axe needs scripts in the page; with scripts off, at least every message is tied to its field. */
async function expectAccessibleWithoutScripts(page: Page): Promise<void> {
  for (const field of await page.locator('[aria-invalid="true"]').all()) {
    const ids = ((await field.getAttribute('aria-describedby')) ?? '').split(' ');
    expect(ids.length).toBeGreaterThan(0);
    for (const id of ids) await expect(page.locator(`#${id}`)).toBeVisible();
  }
}
