// A Salvor of its own for every worker: a demonstration volume in a temporary folder, a server on a free port, an
// operator who can sign in. A panic in the server's log fails the test that sees it first.

import { test as base, expect, type Page } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const binary = resolve(process.env.SALVOR_BIN ?? '../target/debug/salvor');

export type User = { email: string; password: string };

export const operator: User = { email: 'ann@example.com', password: 'correct horse battery' };

export class Salvor {
  private constructor(
    readonly folder: string,
    readonly url: string,
    private readonly environment: NodeJS.ProcessEnv,
    private server: ChildProcess,
  ) {}

  static async start(): Promise<Salvor> {
    const folder = mkdtempSync(join(tmpdir(), 'salvor-end2end-'));
    const listen = `127.0.0.1:${await freePort()}`;
    const url = `http://${listen}`;
    const environment = { ...process.env, SALVOR_SERVER_LISTEN: listen, SALVOR_SERVER_PUBLIC_URL: url };
    delete environment.SALVOR_BIN;
    execFileSync(binary, ['demo', folder], { env: environment });
    const salvor = new Salvor(folder, url, environment, undefined as unknown as ChildProcess);
    salvor.addUser(operator, 'admin');
    salvor.server = salvor.spawnServer();
    await salvor.ready();
    return salvor;
  }

  /** Runs the command line against the same configuration; the exit code is the caller's to judge. */
  run(...args: string[]): { code: number; stdout: string } {
    const whole = args[0] === 'demo' ? args : ['--config', join(this.folder, 'salvor.toml'), ...args];
    try {
      const stdout = execFileSync(binary, whole, { env: this.environment, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
      return { code: 0, stdout };
    } catch (error) {
      const failed = error as { status: number | null; stdout: string };
      return { code: failed.status ?? -1, stdout: failed.stdout };
    }
  }

  /** Replays the outage on the demonstration volume. */
  break(): void {
    const { code, stdout } = this.run('demo', this.folder, '--break');
    expect(code, stdout).toBe(0);
  }

  addUser({ email, password }: User, role: 'admin' | 'operator' | 'viewer'): void {
    execFileSync(binary, ['--config', join(this.folder, 'salvor.toml'), 'user', 'add', email, '--role', role, '--password-stdin'], {
      env: this.environment,
      input: `${password}\n`,
    });
  }

  private readonly tokens = new Map<string, string>();

  /** The secret of a token of this name; it is made when it is first asked for. */
  token(name: string, role: string): string {
    const made = this.tokens.get(name) ?? this.run('token', 'create', name, '--role', role).stdout.trim().split(/\s+/).pop() ?? '';
    this.tokens.set(name, made);
    return made;
  }

  /** The newest jobs. */
  jobs(): { job: string; kind: string; state: string }[] {
    const { code, stdout } = this.run('job', 'list', '--json');
    expect(code, stdout).toBe(0);
    return JSON.parse(stdout);
  }

  /** Removes one picture that every copy of the volume can give back, and says which. */
  removePicture(): string {
    const volume = join(this.folder, 'volume');
    const held = (path: string) => existsSync(join(this.folder, 'copies', 'offsite', path));
    const path = readdirSync(volume, { recursive: true, encoding: 'utf8' })
      .sort()
      .find((name) => /^[a-z-]+\/[\w/-]+\.jpg$/.test(name) && held(name));
    if (!path) throw new Error('the volume has no picture that a copy holds');
    rmSync(join(volume, path));
    return path;
  }

  panics(): string[] {
    return readFileSync(this.logFile(), 'utf8').split('\n').filter((line) => line.includes('panicked at'));
  }

  async stop(): Promise<void> {
    const exited = new Promise((done) => this.server.once('exit', done));
    this.server.kill('SIGTERM');
    await exited;
    rmSync(this.folder, { recursive: true, force: true });
  }

  private logFile(): string {
    return join(this.folder, 'server.log');
  }

  private spawnServer(): ChildProcess {
    const log = openSync(this.logFile(), 'a');
    const child = spawn(binary, ['--config', join(this.folder, 'salvor.toml'), 'serve'], {
      env: this.environment,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    return child;
  }

  private async ready(): Promise<void> {
    await expect(async () => {
      expect(this.server.exitCode, readFileSync(this.logFile(), 'utf8')).toBeNull();
      expect((await fetch(`${this.url}/readyz`)).status).toBe(200);
    }).toPass({ timeout: 30_000 });
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const probe = createServer();
    probe.once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === 'object' ? found(address.port) : failed(new Error('no port'))));
    });
  });
}

/**
 * Everything on the page, by the rules of WCAG 2.2 AA. The window is as high as the page meanwhile: a link that lies half beneath the strip
 * at the foot counts as too small for a finger, although one scrolls it out from there.
 */
export async function expectAccessible(page: Page): Promise<void> {
  const window = page.viewportSize();
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  if (window) await page.setViewportSize({ width: window.width, height: Math.max(window.height, height + 300) });
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
    .analyze();
  if (window) await page.setViewportSize(window);
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)).toEqual([]);
}

/** Nothing is wider than the window: a phone is not dragged sideways to read. */
export async function expectNoOverflow(page: Page): Promise<void> {
  const width = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(width, `${page.url()} is wider than its window`).toBeLessThanOrEqual(0);
}

export async function signIn(page: Page, user: User = operator): Promise<void> {
  await page.goto('/console/sign-in');
  await page.getByLabel(/e-?mail/i).fill(user.email);
  await page.getByLabel(/password/i).fill(user.password);
  await page.getByRole('button', { name: /sign in/i }).click();
  await expect(page).toHaveURL(/\/console\/?$/);
}

/** `test` with a `salvor` of the worker's own; `baseURL` points to it, and a panic or a console error fails the test. */
export const test = base.extend<{ noPanics: void }, { salvor: Salvor }>({
  salvor: [
    async ({}, use) => {
      const salvor = await Salvor.start();
      await use(salvor);
      await salvor.stop();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
  baseURL: async ({ salvor }, use) => use(salvor.url),
  noPanics: [
    async ({ salvor, page }, use) => {
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      page.on('console', (message) => {
        // The browser notes every 4xx answer by itself; a test that wants one says so by its status.
        if (message.type() === 'error' && !message.text().includes('Failed to load resource')) errors.push(message.text());
      });
      await use();
      expect(errors).toEqual([]);
      expect(salvor.panics()).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };
