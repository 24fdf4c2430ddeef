// tsc copies no SQL: the migrations travel to dist/ beside the code that runs them.
import { cpSync } from 'node:fs'

cpSync(new URL('../src/store/migrations', import.meta.url), new URL('../dist/store/migrations', import.meta.url), { recursive: true })
