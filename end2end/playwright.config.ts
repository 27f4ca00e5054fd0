import { defineConfig } from '@playwright/test';

// No webServer here: a fixture starts one server a test file from SALVOR_BIN, each with its own data and ports,
// so that the suite can run in parallel and each test owns what it sees.
if (!process.env.SALVOR_BIN) {
  throw new Error('SALVOR_BIN is not set: it names the salvor program to test (`make end2end` sets it)');
}

export default defineConfig({
  testDir: './tests',
  fullyParallel: true,
  workers: '100%',
  // A test that passes the second time hides a race: it fails.
  retries: 0,
  forbidOnly: true,
  timeout: 30_000,
  expect: { timeout: 5_000 },
  reporter: [['list'], ['html', { open: 'never' }]],
  use: {
    browserName: 'chromium',
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: {
      // Debian's package: nothing is downloaded.
      executablePath: process.env.SALVOR_CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
