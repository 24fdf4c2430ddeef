import { defineConfig } from 'vitest/config'

// unit: pure code, no processes. system: real Postgres, real tokens, real clients; dist/ is built first by test/support/global.ts,
// because child and worker entries are taken from dist/.

/** Where `./check --tokens kryoptic` has built that token. */
const kryoptic = process.env.TRENT_TEST_KRYOPTIC === undefined ? [] : ['test/**/*.kryoptic.test.ts']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.system.test.ts', 'test/**/*.kryoptic.test.ts'],
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.system.test.ts', ...kryoptic],
          globalSetup: ['test/support/global.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          // After the unit project: projects that run side by side must agree on the number of workers.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
